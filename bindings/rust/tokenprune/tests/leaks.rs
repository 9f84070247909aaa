//! By itself: other tests in the same process would be counted, too.
mod common;

use std::fs;

use common::{numbers, on_ref, small_batch, small_model};
use tokenprune::*;

const FASTV: &str = "tokenprune: 1\nname: mine\nstages:\n\
    - {at: \"llm:2\", scorer: {kind: attention, query: last}, selector: topk, merger: nearest, budget: {ratio: 1/4}}\n";

/// Memory of this process that is its own.
fn resident_bytes() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    let words: Vec<u64> = text.split_whitespace().map(|w| w.parse().unwrap()).collect();
    (words[1] - words[2]) * 4096
}

fn one_life(context: &Context, hidden: &[f32]) {
    let mut exec = Exec::new(context).unwrap();
    let (layout, model) = (small_batch(), small_model());
    let policy = Policy::from_yaml(FASTV, "here").unwrap().with_budget(None, &Budget::count(7)).unwrap();
    let (q, k) = (numbers(47 * 24, 1), numbers(47 * 12, 2));
    let inputs = Inputs::new()
        .q(TensorRef::new(&q, &[47, 4, 6]).unwrap())
        .k(TensorRef::new(&k, &[47, 2, 6]).unwrap())
        .hidden(TensorRef::new(hidden, &[47, 12]).unwrap());
    let mut sequence = Sequence::new(context).unwrap();
    sequence.begin(&mut exec, &policy, &layout, &model).unwrap();
    sequence.next_point().unwrap().unwrap();
    assert_eq!(sequence.prune(&mut exec, &inputs).unwrap().rows_out(), 18);
    assert!(Policy::preset("nothing").is_err());
}

#[test]
fn thousands_of_lives_leave_nothing_behind() {
    let (context, _) = on_ref();
    let hidden = numbers(47 * 12, 3);
    for _ in 0..300 {
        one_life(&context, &hidden);
    }
    let before = resident_bytes();
    for _ in 0..3000 {
        one_life(&context, &hidden);
    }
    let more = resident_bytes().saturating_sub(before);
    assert!(more < 8 << 20, "{more} bytes");
}
