//! The reference model on the demo checkpoint.
#![cfg(feature = "mllm")]
mod common;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::slice::from_ref;

use tokenprune::mllm::{GenerateOptions, LoadOptions, Model, Request};
use tokenprune::*;

fn demo(path: &str) -> PathBuf {
    common::golden().join("../../examples/demo").join(path)
}

fn model() -> Model {
    let context = Context::new().unwrap();
    Model::load(&context, demo("model"), &LoadOptions::default()).unwrap()
}

#[test]
fn answers_pruned_and_not() {
    let model = model();
    let info = model.info().unwrap();
    assert_eq!((info.kind.as_str(), info.grid), ("llava", (12, 12)));
    let picture = demo("images/scene_00.png");
    let images = [picture.to_str().unwrap()];
    let request = Request { prompt: "What color is the circle?", images: &images, ..Request::default() };
    let whole = model.generate(from_ref(&request), GenerateOptions::default()).unwrap();
    assert_eq!(whole.report.visual_after, 144);

    let policy = Policy::preset("fastv").unwrap().with_budget(None, &Budget::count(36)).unwrap();
    let mut heard = String::new();
    let mut hear = |i: usize, text: &str| {
        assert_eq!(i, 0);
        heard.push_str(text);
        ControlFlow::Continue(())
    };
    let options =
        GenerateOptions { policy: Some(&policy), on_text: Some(&mut hear), ..GenerateOptions::default() };
    let pruned = model.generate(from_ref(&request), options).unwrap();
    assert_eq!(pruned.report.visual_after, 36);
    assert_eq!(pruned.answers[0].kept[0].len(), 36);
    assert_eq!(heard, pruned.answers[0].text);
    assert!(!pruned.answers[0].tokens.is_empty());
    assert!(pruned.report.macs < whole.report.macs);

    // The same as a batch of two.
    let two = model.generate(&[request.clone(), request], GenerateOptions::default()).unwrap();
    assert_eq!(two.answers[1].tokens, whole.answers[0].tokens);
}

#[test]
fn failures_come_out() {
    let model = model();
    let nothing = Request { prompt: "Hello", images: &["/nowhere.png"], ..Request::default() };
    let e = model.generate(&[nothing], GenerateOptions::default()).err().unwrap();
    assert_eq!(e.status(), Status::Io);
    assert!(e.message().contains("/nowhere.png"), "{e}");
    let picture = demo("images/scene_00.png");
    let images = [picture.to_str().unwrap()];
    let request = Request { prompt: "What color is the circle?", images: &images, ..Request::default() };
    let mut stop = |_: usize, _: &str| ControlFlow::Break(());
    let options = GenerateOptions { on_text: Some(&mut stop), ..GenerateOptions::default() };
    assert_eq!(model.generate(from_ref(&request), options).err().unwrap().status(), Status::Cancelled);
    let mut throw = |_: usize, _: &str| panic!("enough");
    let options = GenerateOptions { on_text: Some(&mut throw), ..GenerateOptions::default() };
    let e = model.generate(&[request], options).err().unwrap();
    assert_eq!((e.status(), e.message()), (Status::Panicked, "a closure panicked: enough"));
    let context = Context::new().unwrap();
    assert_eq!(
        Model::load(&context, "/nowhere", &LoadOptions::default()).err().unwrap().status(),
        Status::Io
    );
    assert!(model.generate(&[], GenerateOptions::default()).is_err());
}
