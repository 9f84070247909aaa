//! Sizes, offsets and constants against what C's compiler says of them (tests/abi/layout.txt,
//! which the library's own tests hold against the headers).
#![allow(non_snake_case)]

use std::collections::HashMap;
use std::fs;
use std::mem::{size_of, MaybeUninit};
use std::path::Path;
use std::ptr::addr_of;

type Lines = HashMap<String, Vec<u64>>;

/// "struct tkp_budget count" -> [offset, bytes]; "struct tkp_budget size" -> [bytes];
/// "TKP_BUDGET_ALL" -> [value].
fn said_by_c() -> Lines {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/abi/layout.txt");
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut lines = Lines::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["struct", name, field, numbers @ ..] => {
                let numbers = numbers.iter().map(|n| n.parse().unwrap()).collect();
                lines.insert(format!("{name} {field}"), numbers);
            }
            ["enum", _, name, value] => {
                let value: i64 = value.parse().unwrap();
                lines.insert(name.to_string(), vec![value as u64]);
            }
            _ => {}
        }
    }
    lines
}

fn size_of_field<T>(_: *const T) -> usize {
    size_of::<T>()
}

include!("fields.rs");
#[cfg(feature = "mllm")]
include!("fields_mllm.rs");

/// What a struct's field is here, beside what it is in C.
struct Field {
    key: &'static str,
    here: Vec<u64>,
    whole: &'static str,
    size: u64,
}

macro_rules! collect {
    ($list:ident, $fields:ident) => {
        macro_rules! field {
            ($name:ident, $field:ident) => {{
                let room = MaybeUninit::<$name>::uninit();
                let base = room.as_ptr();
                // SAFETY: no reference is made; only the place of the field is asked for.
                let at = unsafe { addr_of!((*base).$field) };
                $list.push(Field {
                    key: concat!(stringify!($name), " ", stringify!($field)),
                    here: vec![(at as usize - base as usize) as u64, size_of_field(at) as u64],
                    whole: concat!(stringify!($name), " size"),
                    size: size_of::<$name>() as u64,
                });
            }};
        }
        $fields!(field);
    };
}

fn compare(list: &[Field]) {
    let c = said_by_c();
    for field in list {
        assert_eq!(Some(&field.here), c.get(field.key), "{}", field.key);
        assert_eq!(Some(&vec![field.size]), c.get(field.whole), "{}", field.whole);
    }
}

#[test]
fn structs_lie_as_in_c() {
    use tokenprune_sys::*;
    let mut list = Vec::new();
    collect!(list, core_fields);
    assert!(list.len() > 400, "{}", list.len());
    compare(&list);
}

#[cfg(feature = "mllm")]
#[test]
fn structs_of_the_model_lie_as_in_c() {
    use tokenprune_sys::mllm::*;
    let mut list = Vec::new();
    collect!(list, mllm_fields);
    assert!(list.len() > 50, "{}", list.len());
    compare(&list);
}

#[test]
fn constants_are_those_of_c() {
    let c = said_by_c();
    let mut checked = 0;
    for source in [include_str!("../../src/raw.rs"), include_str!("../../src/mllm.rs")] {
        for line in source.lines().filter(|line| line.starts_with("pub const TKP_")) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let name = words[2].trim_end_matches(':');
            if let (Some(want), Ok(value)) =
                (c.get(name), words[words.len() - 1].trim_end_matches(';').parse::<i64>())
            {
                assert_eq!(vec![value as u64], *want, "{name}");
                checked += 1;
            }
        }
    }
    assert!(checked > 250, "{checked}");
}
