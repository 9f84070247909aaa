//! The golden cases of tests/golden, as tests/api/test_policy_golden.c runs them.
mod common;

use std::collections::HashMap;
use std::fs;

use tokenprune::*;

enum Numbers {
    F32(Vec<f32>),
    I32(Vec<i32>),
    U8(Vec<u8>),
}

struct Tensor {
    shape: Vec<usize>,
    numbers: Numbers,
}

impl Tensor {
    fn read(data: &[u8], words: &[&str]) -> Tensor {
        let shape: Vec<usize> = words[1].split('x').map(|n| n.parse().unwrap()).collect();
        let at: usize = words[2].parse().unwrap();
        let n: usize = shape.iter().product();
        let four = |i: usize| -> [u8; 4] { data[at + 4 * i..at + 4 * i + 4].try_into().unwrap() };
        let numbers = match words[0] {
            "f32" => Numbers::F32((0..n).map(|i| f32::from_le_bytes(four(i))).collect()),
            "i32" => Numbers::I32((0..n).map(|i| i32::from_le_bytes(four(i))).collect()),
            "u8" => Numbers::U8(data[at..at + n].to_vec()),
            other => panic!("dtype {other}"),
        };
        Tensor { shape, numbers }
    }

    fn view(&self) -> TensorRef<'_> {
        match &self.numbers {
            Numbers::F32(x) => TensorRef::new(x, &self.shape),
            Numbers::I32(x) => TensorRef::new(x, &self.shape),
            Numbers::U8(x) => TensorRef::new(x, &self.shape),
        }
        .unwrap()
    }

    fn ints(&self) -> &[i32] {
        match &self.numbers {
            Numbers::I32(x) => x,
            _ => panic!("wanted i32"),
        }
    }
}

fn inputs(given: &HashMap<String, Tensor>) -> Inputs<'_> {
    given.iter().fold(Inputs::new(), |inputs, (name, t)| match name.as_str() {
        "q" => inputs.q(t.view()),
        "k" => inputs.k(t.view()),
        "lse" => inputs.lse(t.view()),
        "block_table" => inputs.block_table(t.view()),
        "attention_rows" => inputs.attention_rows(t.view()),
        "attention" => inputs.attention(t.view()),
        "hidden" => inputs.hidden(t.view()),
        "norm_weight" => inputs.norm_weight(t.view()),
        "cls_attention" => inputs.cls_attention(t.view()),
        "scores" => inputs.scores(t.view()),
        "text" => inputs.text(t.view()),
        "text_offsets" => inputs.text_offsets(t.ints()),
        "values" => inputs.values(t.view()),
        "vision" => inputs.vision(t.view()),
        "vision_keys" => inputs.vision_keys(t.view()),
        "cls_shallow" => inputs.cls_shallow(t.view()),
        "clip" => inputs.clip(t.view()),
        "clip_text" => inputs.clip_text(t.view()),
        "clip_text_offsets" => inputs.clip_text_offsets(t.ints()),
        "clip_tokens" => inputs.clip_tokens(t.view()),
        "clip_token_offsets" => inputs.clip_token_offsets(t.ints()),
        "embeddings" => inputs.embeddings(t.view()),
        "pivot_order" => inputs.pivot_order(t.view()),
        "plain_q" => inputs.plain_q(t.view()),
        "plain_k" => inputs.plain_k(t.view()),
        "vision_values" => inputs.vision_values(t.view()),
        other => panic!("input {other}"),
    })
}

/// What is compared of a decision: numbers as f64.
type Decided = HashMap<&'static str, Vec<f64>>;

fn floats(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

fn ints(x: &[i32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

fn read_decision(d: &Decision<'_>) -> Decided {
    let mut out = Decided::new();
    out.insert("indices", ints(d.indices()));
    out.insert("offsets", ints(d.offsets()));
    out.insert("positions", ints(d.positions()));
    out.insert("sizes", floats(d.sizes()));
    out.insert("assignment", ints(d.assignment()));
    out.insert("merged_at", ints(d.merged_at()));
    if let Some(scores) = d.scores() {
        out.insert("scores", floats(scores));
    }
    if let Some(bias) = d.key_bias() {
        out.insert("key_bias", floats(bias));
    }
    if let Some(merged) = d.merged() {
        out.insert("merged", floats(merged.as_slice().unwrap_or(&[])));
    }
    out
}

struct Case<'a> {
    name: String,
    data: &'a [u8],
    context: &'a Context,
    exec: Exec,
    layout: Layout,
    model: ModelShape,
    stages: Vec<String>,
    policy: Option<Policy>,
    sequence: Option<Sequence>,
    given: HashMap<String, Tensor>,
    decided: Option<Decided>,
    checked: usize,
}

impl<'a> Case<'a> {
    fn new(name: &str, data: &'a [u8], context: &'a Context) -> Case<'a> {
        Case {
            name: name.to_string(),
            data,
            context,
            exec: Exec::new(context).unwrap(),
            layout: Layout::new().unwrap(),
            model: ModelShape::default(),
            stages: Vec::new(),
            policy: None,
            sequence: None,
            given: HashMap::new(),
            decided: None,
            checked: 0,
        }
    }

    fn mask(&self, word: &str, cells: usize) -> Option<&'a [u8]> {
        let at: usize = word.parse().ok()?;
        Some(&self.data[at..at + cells])
    }

    fn begin(&mut self) {
        if self.sequence.is_some() {
            return;
        }
        if !self.stages.is_empty() {
            let text = format!("tokenprune: 1\nname: golden\nstages:\n{}", self.stages.join("\n"));
            self.policy = Some(Policy::from_yaml(&text, &self.name).unwrap());
        }
        let mut sequence = Sequence::new(self.context).unwrap();
        let policy = self.policy.as_ref().unwrap();
        sequence.begin(&mut self.exec, policy, &self.layout, &self.model).unwrap();
        self.sequence = Some(sequence);
    }

    fn read(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |i: usize| -> i64 { words[i].parse().unwrap() };
        match words[0] {
            "|" => self.stages.push(line[2..].to_string()),
            "preset" => self.policy = Some(Policy::preset(words[1]).unwrap()),
            "model" => {
                self.model.dtype = match words[1] {
                    "f16" => Dtype::F16,
                    "bf16" => Dtype::Bf16,
                    _ => Dtype::F32,
                };
                self.model.layers = number(2) as i32;
                self.model.heads = number(3) as i32;
                self.model.kv_heads = number(4) as i32;
                self.model.head_dim = number(5) as i32;
                self.model.hidden = number(6);
            }
            "widths" => {
                let all: Vec<i64> = (1..words.len()).map(number).collect();
                let at = |i: usize| all.get(i).copied().unwrap_or(0);
                self.model.vision_hidden = at(0);
                self.model.vision_key_dim = at(1);
                self.model.clip_dim = at(2);
                self.model.text_rows = at(3) as i32;
                self.model.clip_text_rows = at(4) as i32;
                self.model.clip_token_rows = at(5) as i32;
            }
            "sequence" => {
                self.layout.add_sequence(number(2), number(3)..number(4), number(1) as u32).unwrap();
            }
            "image" => {
                let (frames, rows, cols) = (number(2) as i32, number(3) as i32, number(4) as i32);
                let cells = (frames.max(1) * rows * cols) as usize;
                let mut image = Image::new(number(1), rows, cols).frames(frames).row_stride(number(5) as i32);
                if let Some(valid) = self.mask(words[6], cells) {
                    image = image.valid(valid);
                }
                if let Some(keep) = self.mask(words[7], cells) {
                    image = image.keep(keep);
                }
                let last = self.layout.sequences() - 1;
                self.layout.add_image(last, &image).unwrap();
            }
            "positions" => {
                let shape = format!("{}x{}", words[1], self.layout.rows());
                let positions = Tensor::read(self.data, &["i32", &shape, words[2]]);
                self.layout.set_positions(number(1) as i32, positions.ints()).unwrap();
            }
            "point" => {
                self.begin();
                let point = self.sequence.as_mut().unwrap().next_point().unwrap().expect("a point");
                assert_eq!(i64::from(point.stage), number(1), "{}", self.name);
                self.given.clear();
                self.decided = None;
            }
            "in" => {
                self.given.insert(words[1].to_string(), Tensor::read(self.data, &words[2..]));
            }
            "out" => self.compare(words[1], &Tensor::read(self.data, &words[2..])),
            "next" => {
                let at = self.sequence.as_ref().unwrap().next_position(number(1) as i32, number(2) as i32);
                assert_eq!(at.map(i64::from), Some(number(3)), "{}", self.name);
                self.checked += 1;
            }
            "#" => {}
            other => panic!("{}: line {other}", self.name),
        }
    }

    fn compare(&mut self, field: &str, want: &Tensor) {
        if self.decided.is_none() {
            let inputs = inputs(&self.given);
            let decision = self.sequence.as_mut().unwrap().prune(&mut self.exec, &inputs).unwrap();
            self.decided = Some(read_decision(&decision));
        }
        let want = match &want.numbers {
            Numbers::F32(x) => floats(x),
            Numbers::I32(x) => ints(x),
            Numbers::U8(_) => panic!("{field}: u8"),
        };
        let met = &self.decided.as_ref().unwrap()[field];
        assert_eq!(met.len(), want.len(), "{}: {field}", self.name);
        for (i, (a, b)) in met.iter().zip(&want).enumerate() {
            let near = a == b || (a - b).abs() <= 1e-5 * b.abs().max(1.0);
            assert!(near, "{}: {field}[{i}] is {a}, not {b}", self.name);
        }
        self.checked += 1;
    }

    fn close(mut self) {
        assert!(self.sequence.as_mut().unwrap().next_point().unwrap().is_none(), "{}", self.name);
        assert!(self.checked > 0, "{}", self.name);
    }
}

fn folder(name: &str, context: &Context) -> usize {
    let folder = common::golden().join(name);
    let data = fs::read(folder.join("vectors.bin")).unwrap();
    let text = fs::read_to_string(folder.join("cases.txt")).unwrap();
    let mut cases = 0;
    let mut case: Option<Case<'_>> = None;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        if let Some(rest) = line.strip_prefix("case ") {
            if let Some(done) = case.take() {
                done.close();
            }
            case = Some(Case::new(rest.split_whitespace().next().unwrap(), &data, context));
            cases += 1;
        } else if let Some(case) = case.as_mut() {
            case.read(line);
        }
    }
    case.unwrap().close();
    cases
}

#[test]
fn every_case_gives_the_same_decision() {
    let context = Context::builder().backends("ref").build().unwrap();
    for name in ["policies", "published", "controls", "methods"] {
        assert!(folder(name, &context) > 2, "{name}");
    }
}

#[test]
fn wrong_policies_have_the_same_message() {
    let mut read = 0;
    for entry in fs::read_dir(common::golden().join("policies").join("bad")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().map_or(true, |e| e != "yaml") {
            continue;
        }
        let want = fs::read_to_string(path.with_extension("txt")).unwrap();
        let (status, message) = want.trim_end_matches('\n').split_once(' ').unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        // A text of Rust is UTF-8: the file that is not goes through the loader.
        let met = match String::from_utf8(fs::read(&path).unwrap()) {
            Ok(yaml) => Policy::from_yaml(&yaml, name).err().unwrap(),
            Err(_) => continue,
        };
        assert_eq!(met.status().name(), status, "{name}");
        assert_eq!(met.message(), message, "{name}");
        read += 1;
    }
    assert!(read > 10, "{read}");
}
