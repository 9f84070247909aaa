//! Objects: what they answer, how they fail, that they leave nothing behind.
mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::thread;

use common::{numbers, on_ref, small_batch, small_model};
use tokenprune::*;

const FASTV: &str = "tokenprune: 1\nname: mine\nstages:\n\
    - {at: \"llm:2\", scorer: {kind: attention, query: last}, selector: topk, merger: nearest, budget: {ratio: 1/4}}\n";

fn fail<T>(result: Result<T>) -> Error {
    result.err().expect("an error")
}

#[test]
fn context_says_what_it_has() {
    let context = Context::builder().backends("ref").threads(2).build().unwrap();
    assert_eq!(context.backends(), ["ref"]);
    assert_eq!(context.threads(), 2);
    assert_eq!(library_version().split('.').count(), 3);
    let e = fail(Context::builder().backends("nothing").build());
    assert_eq!(e.status(), Status::NoBackend);
    assert!(e.message().contains("nothing"), "{e}");
    assert_eq!(fail(Context::builder().threads(-1).build()).status(), Status::Option);
    assert_eq!(fail(Context::builder().backends("a\0b").build()).status(), Status::Argument);
}

#[test]
fn layout_counts_and_freezes() {
    let mut layout = small_batch();
    assert_eq!(layout.add_sequence(5, 0..0, 9).unwrap(), 1);
    assert_eq!(layout.add_image(1, &Image::new(1, 1, 2).valid(&[1, 0])).unwrap(), 1);
    assert_eq!((layout.sequences(), layout.images(), layout.rows()), (2, 2, 52));
    assert_eq!(
        [layout.visual_tokens(0), layout.visual_tokens(1), layout.visual_tokens(2)],
        [Some(36), Some(1), None]
    );
    layout.set_positions(1, &(0..52).collect::<Vec<_>>()).unwrap();
    let e = fail(layout.add_image(1, &Image::new(3, 1, 2).valid(&[1, 1, 1])));
    assert_eq!(e.message(), "valid: has 3 bytes, wanted 2");
    assert_eq!(fail(layout.add_image(1, &Image::new(4, 2, 2))).status(), Status::Shape);
    assert_eq!(fail(layout.set_positions(3, &[0; 100])).status(), Status::Shape);
    let (context, _) = on_ref();
    Scorer::new(&context, &layout, &small_model(), "attention").unwrap();
    assert_eq!(fail(layout.add_sequence(1, 0..0, 0)).status(), Status::State);
}

#[test]
fn budget_resolves_in_whole_numbers() {
    assert_eq!(Budget::ratio(2, 9).resolve(576, 0, 32).unwrap(), 128);
    assert_eq!(Budget::ratio(1, 2).rounding(Rounding::Floor).resolve(7, 0, 32).unwrap(), 3);
    assert_eq!(Budget::all().resolve(7, 0, 32).unwrap(), 7);
    assert!(fail(Budget::count(9).resolve(4, 0, 32)).message().contains("count is 9"));
}

#[test]
fn policy_is_what_was_said() {
    let policy = Policy::from_yaml(FASTV, "here").unwrap();
    assert_eq!((policy.name().as_str(), policy.stages()), ("mine", 1));
    assert_eq!(Policy::from_yaml(&policy.to_yaml(), "again").unwrap().to_yaml(), policy.to_yaml());
    let info = policy.info().unwrap();
    assert!(info.needs.contains(Needs::ATTENTION) && info.in_llm && info.text_dependent && info.merges);
    assert_eq!((info.last_boundary, info.adaptive), (Some(2), false));
    let point = policy.point(0).unwrap();
    assert_eq!((point.at, point.score_layer, point.rows_in), (At::Llm(2), Some(1), 0));
    assert!(policy.with_budget(None, &Budget::count(12)).unwrap().to_yaml().contains("count: 12"));
    assert!(policy.with_point(None, At::Llm(3)).unwrap().to_yaml().contains("llm:3"));
    assert_eq!(
        Policy::preset("fastv").unwrap().with_depth(32, 64, 0, 0).unwrap().point(0).unwrap().at,
        At::Llm(4)
    );
    assert!(presets().iter().any(|name| name == "sparsevlm"));
    let e = fail(Policy::preset("fastw"));
    assert_eq!(e.status(), Status::Policy);
    assert!(e.message().contains("fastv"), "{e}");
    assert_eq!(fail(Policy::load("/nowhere.yaml")).status(), Status::Io);
    let seeded = Policy::preset("random").unwrap().with_seed(u64::MAX).unwrap();
    assert!(seeded.to_yaml().contains(&u64::MAX.to_string()));
}

#[test]
fn parts_one_after_the_other_are_the_sequence() {
    let (context, mut exec) = on_ref();
    let (layout, model) = (small_batch(), small_model());
    let policy = Policy::from_yaml(FASTV, "here").unwrap();
    let (q, k, hidden) = (numbers(47 * 24, 1), numbers(47 * 12, 2), numbers(47 * 12, 3));
    let rows = TensorRef::new(&hidden, &[47, 12]).unwrap();
    let inputs = Inputs::new()
        .q(TensorRef::new(&q, &[47, 4, 6]).unwrap())
        .k(TensorRef::new(&k, &[47, 2, 6]).unwrap())
        .hidden(rows);

    let scorer = Scorer::of(&policy, 0, &context, &layout, &model).unwrap();
    let own = Scorer::new(&context, &layout, &model, "{kind: attention, query: last}").unwrap();
    let selector = Selector::of(&policy, 0, &context, &layout, &model).unwrap();
    let merger = Merger::of(&policy, 0, &context, &selector, &model).unwrap();
    assert_eq!((scorer.needs(), scorer.query_rows()), (Needs::ATTENTION, vec![46]));
    let scores = scorer.run(&mut exec, &inputs).unwrap();
    assert_eq!(own.run(&mut exec, &inputs).unwrap(), scores);
    let kept = selector.run(&mut exec, &scores).unwrap();
    assert_eq!((kept.indices.len(), kept.offsets.as_slice()), (9, &[0, 9][..]));
    assert_eq!(selector.count(0), Some(9));
    let by_hand = Selector::new(&context, &layout, "topk", &Budget::ratio(1, 4)).unwrap();
    assert_eq!(by_hand.run(&mut exec, &scores).unwrap(), kept);
    let mut new_rows = vec![0.0f32; 9 * 12];
    let merged = merger
        .run_into(&mut exec, &inputs, &kept.indices, &mut TensorMut::new(&mut new_rows, &[9, 12]).unwrap())
        .unwrap();
    assert_eq!(merged.sizes.iter().sum::<f32>(), 36.0);
    assert_eq!(merged.assignment.iter().filter(|to| to.is_some()).count(), 36);

    let mut sequence = Sequence::new(&context).unwrap();
    sequence.begin(&mut exec, &policy, &layout, &model).unwrap();
    let point = sequence.next_point().unwrap().unwrap();
    assert_eq!((point.at, point.rows_in, point.rows_out), (At::Llm(2), 47, 20));
    assert_eq!(sequence.query_rows(), [46]);
    let decision = sequence.prune(&mut exec, &inputs).unwrap();
    assert_eq!((decision.rows_in(), decision.rows_out()), (47, 20));
    assert_eq!(decision.scores().unwrap(), scores);
    let visual: Vec<i32> =
        decision.indices().iter().filter(|r| (1..37).contains(*r)).map(|r| r - 1).collect();
    assert_eq!(visual, kept.indices);
    let (mut out, mut kv) = (vec![0.0f32; 20 * 12], vec![0.0f32; 20 * 12]);
    decision.gather(&mut exec, &mut TensorMut::new(&mut out, &[20, 12]).unwrap(), &rows).unwrap();
    decision.gather_kv(&mut exec, &mut TensorMut::new(&mut kv, &[20, 12]).unwrap(), &rows).unwrap();
    assert_eq!(out[12..12 + 9 * 12], new_rows);
    assert_eq!(kv[..12], hidden[..12]);
    let indices = decision.indices().to_vec();
    assert_eq!(sequence.rows(), (indices, vec![0, 20]));
    assert_eq!(sequence.kept_cells(&mut exec, 0).unwrap(), kept.indices);
    assert!(sequence.kept_cells(&mut exec, 7).is_none());
    assert!(sequence.next_point().unwrap().is_none());
    let report = sequence.report().unwrap();
    assert_eq!((report.visual_before, report.visual_after), (36, 9));
    assert_eq!(report.layer_tokens[..3], [47, 47, 20]);
    assert!(report.macs < report.macs_unpruned);
}

#[test]
fn slices_are_not_copied() {
    let (context, mut exec) = on_ref();
    let layout = small_batch();
    let seen = Arc::new(AtomicUsize::new(0));
    let note = Arc::clone(&seen);
    register_scorer("rust-address", Needs::HIDDEN, move |_, given, scores| {
        note.store(given.hidden().unwrap().address(), Ordering::SeqCst);
        scores.fill(0.0);
        Ok(())
    })
    .unwrap();
    let hidden = numbers(47 * 12, 1);
    let scorer =
        Scorer::new(&context, &layout, &small_model(), "{kind: custom, custom: rust-address}").unwrap();
    let inputs = Inputs::new().hidden(TensorRef::new(&hidden, &[47, 12]).unwrap());
    scorer.run(&mut exec, &inputs).unwrap();
    assert_eq!(seen.load(Ordering::SeqCst), hidden.as_ptr() as usize);
    assert_eq!(Arc::strong_count(&seen), 2);
    assert_eq!(fail(unregister_scorer("rust-address")).status(), Status::State);
    drop(scorer);
    unregister_scorer("rust-address").unwrap();
    assert_eq!(Arc::strong_count(&seen), 1); // the closure went
}

#[test]
fn closures_score_and_select_and_their_failures_come_out() {
    let (context, mut exec) = on_ref();
    let (layout, model) = (small_batch(), small_model());
    register_scorer("rust-cells", Needs::NONE, |view, _, scores| {
        for (score, cell) in scores.iter_mut().zip(view.candidate_cells()) {
            *score = *cell as f32;
        }
        Ok(())
    })
    .unwrap();
    register_scorer("rust-wrong", Needs::NONE, |_, _, _| Err(Error::new(Status::Data, "no numbers today")))
        .unwrap();
    register_scorer("rust-panic", Needs::NONE, |_, _, _| panic!("dropped it")).unwrap();
    register_selector("rust-first", false, |_, _, keep| {
        Ok(keep.iter().map(|n| (0..*n as i32).collect()).collect())
    })
    .unwrap();
    register_selector("rust-few", false, |_, _, keep| Ok(keep.iter().map(|_| vec![]).collect())).unwrap();

    let run = |exec: &mut Exec, name: &str| {
        Scorer::new(&context, &layout, &model, &format!("{{kind: custom, custom: {name}}}"))
            .unwrap()
            .run(exec, &Inputs::new())
    };
    assert_eq!(run(&mut exec, "rust-cells").unwrap()[35], 35.0);
    let e = fail(run(&mut exec, "rust-wrong"));
    assert_eq!((e.status(), e.message()), (Status::Data, "no numbers today"));
    let e = fail(run(&mut exec, "rust-panic"));
    assert_eq!((e.status(), e.message()), (Status::Panicked, "a closure panicked: dropped it"));
    // What is thrown once is not thrown again.
    assert_eq!(fail(Policy::preset("none of them")).status(), Status::Policy);

    let choose = |exec: &mut Exec, name: &str| {
        Selector::new(&context, &layout, &format!("{{kind: custom, custom: {name}}}"), &Budget::count(3))
            .unwrap()
            .run_on(exec, None, &Inputs::new())
    };
    assert_eq!(choose(&mut exec, "rust-first").unwrap().indices, [0, 1, 2]);
    assert!(fail(choose(&mut exec, "rust-few")).message().contains("chose 0 of sequence 0, wanted 3"));

    let e = fail(register_scorer("rust-cells", Needs::NONE, |_, _, _| Ok(())));
    assert_eq!(e.status(), Status::Argument);
    for name in ["rust-cells", "rust-wrong", "rust-panic"] {
        unregister_scorer(name).unwrap();
    }
    unregister_selector("rust-first").unwrap();
    unregister_selector("rust-few").unwrap();
    assert!(unregister_scorer("rust-cells").is_err());
}

#[test]
fn wrong_views_are_refused() {
    let data = [0.0f32; 12];
    assert!(fail(TensorRef::new(&data, &[3, 5])).message().contains("slice of 12 elements"));
    assert!(fail(TensorRef::with_strides(&data, &[3, 4], &[5, 1])).message().contains("touches 14 elements"));
    assert!(TensorRef::with_strides(&data, &[3, 2], &[4, 1]).is_ok());
    assert!(TensorRef::with_strides(&data, &[0, 9], &[usize::MAX, usize::MAX]).is_ok());
    assert_eq!(fail(TensorRef::new(&data, &[usize::MAX, 2])).status(), Status::Shape);
    assert_eq!(
        fail(TensorRef::with_strides(&data, &[3, usize::MAX], &[usize::MAX, 2])).status(),
        Status::Shape
    );
    assert_eq!(fail(TensorRef::new(&data, &[1, 1, 1, 1, 1, 1, 12])).status(), Status::Shape);

    let (context, mut exec) = on_ref();
    let (layout, model) = (small_batch(), small_model());
    let scorer = Scorer::new(&context, &layout, &model, "attention").unwrap();
    assert!(fail(scorer.run(&mut exec, &Inputs::new())).message().contains("q"));
    let few = numbers(12, 1);
    let inputs =
        Inputs::new().q(TensorRef::new(&few, &[2, 6]).unwrap()).k(TensorRef::new(&few, &[2, 6]).unwrap());
    assert_eq!(fail(scorer.run(&mut exec, &inputs)).status(), Status::Shape);
    let offsets = Inputs::new().text_offsets(&[0]);
    assert!(fail(scorer.run(&mut exec, &offsets))
        .message()
        .contains("text_offsets: has 1 entries, wanted 2"));
    assert_eq!(fail(Scorer::new(&context, &layout, &model, "{kind: nonsense}")).status(), Status::Policy);
    assert!(fail(Scorer::new(&context, &layout, &ModelShape::default(), "attention"))
        .message()
        .contains("heads"));

    let selector = Selector::new(&context, &layout, "topk", &Budget::count(3)).unwrap();
    assert_eq!(fail(selector.run(&mut exec, &[0.0; 5])).status(), Status::Shape);
    assert_eq!(fail(selector.run(&mut exec, &[f32::NAN; 36])).status(), Status::Data);
    assert_eq!(fail(Selector::new(&context, &layout, "topk", &Budget::count(99))).status(), Status::Option);
    let merger = Merger::new(&context, &selector, &model, "nearest").unwrap();
    let hidden = numbers(47 * 12, 1);
    let inputs = Inputs::new().hidden(TensorRef::new(&hidden, &[47, 12]).unwrap());
    let mut rows = vec![0.0f32; 36];
    let mut rows = TensorMut::new(&mut rows, &[3, 12]).unwrap();
    assert!(fail(merger.run_into(&mut exec, &inputs, &[0, 1, 99], &mut rows))
        .message()
        .contains("candidate 99"));

    let mut sequence = Sequence::new(&context).unwrap();
    assert_eq!(fail(sequence.next_point()).status(), Status::State);
    assert_eq!(fail(sequence.prune(&mut exec, &Inputs::new())).status(), Status::State);
    assert_eq!(fail(sequence.report()).status(), Status::State);
    assert!(sequence.rows().0.is_empty());
    let (_other, mut foreign) = on_ref();
    let policy = Policy::preset("fastv").unwrap();
    assert_eq!(fail(sequence.begin(&mut foreign, &policy, &layout, &model)).status(), Status::Argument);
}

#[test]
fn threads_share_plans_and_have_execs_of_their_own() {
    let (context, mut exec) = on_ref();
    let (layout, model) = (small_batch(), small_model());
    let scorer = Scorer::new(&context, &layout, &model, "{kind: norm, norm: l2}").unwrap();
    let hidden = numbers(47 * 12, 3);
    let inputs = Inputs::new().hidden(TensorRef::new(&hidden, &[47, 12]).unwrap());
    let want = scorer.run(&mut exec, &inputs).unwrap();
    thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                let mut exec = Exec::new(&context).unwrap();
                for _ in 0..200 {
                    assert_eq!(scorer.run(&mut exec, &inputs).unwrap(), want);
                    assert_eq!(Policy::preset("?").err().unwrap().status(), Status::Policy);
                }
            });
        }
    });
    // What a context made outlives it.
    drop(context);
    assert_eq!(scorer.run(&mut exec, &inputs).unwrap(), want);
}

#[test]
fn half_types_round_as_they_should() {
    assert_eq!(Bf16::from_f32(1.0), Bf16(0x3f80));
    assert_eq!(Bf16::from_f32(1.0 + 1.0 / 256.0), Bf16(0x3f80)); // half way: to even
    assert_eq!(Bf16::from_f32(1.0 + 3.0 / 256.0), Bf16(0x3f82));
    assert!(Bf16::from_f32(f32::NAN).to_f32().is_nan());
    assert_eq!(Bf16::from_f32(-2.5).to_f32(), -2.5);
}
