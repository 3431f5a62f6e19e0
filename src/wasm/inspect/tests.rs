//! What uploads are told, in words.

use std::fmt::Write as _;

use wit_parser::abi::{AbiVariant, WasmType};

use super::*;
use crate::wasm::tests::embed;

const CORE: &str = r#"(module (memory (export "memory") 1)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
    (func (export "millstream:functions/transform@0.1.0#open") (result i32) (i32.const 0))
    (func (export "millstream:functions/transform@0.1.0#process") (param i32 i32) (result i32) (i32.const 0)))"#;

fn core(wit: &str, world: &str) -> Bytes {
    let mut bytes = wat::parse_str(CORE).unwrap();
    embed(&mut bytes, wit, world);
    bytes.into()
}

fn refused(bytes: impl Into<Bytes>) -> Invalid {
    inspect(&bytes.into()).unwrap_err()
}

/// A module for `world` of `wit` that imports every function and traps in those it exports.
fn dummy(wit: &str, world: &str) -> Bytes {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("test.wit", wit).unwrap();
    let id = resolve.select_world(&[package], Some(world)).unwrap();
    let mut text = String::new();
    for Item { name, item } in items(&resolve, id, Side::Imports) {
        for (function, signature) in functions(&resolve, item, AbiVariant::GuestImport) {
            let module = if name == function { "$root" } else { &name };
            write!(text, r#"(import "{module}" "{function}" (func {signature}))"#).unwrap();
        }
    }
    text.push_str(
        r#"(memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (unreachable))"#,
    );
    for Item { name, item } in items(&resolve, id, Side::Exports) {
        for (function, signature) in functions(&resolve, item, AbiVariant::GuestExport) {
            write!(text, r#"(func (export "{name}#{function}") {signature} (unreachable))"#).unwrap();
        }
    }
    let mut module = wat::parse_str(format!("(module {text})")).unwrap();
    embed(&mut module, wit, world);
    module.into()
}

fn functions(resolve: &Resolve, item: &WorldItem, side: AbiVariant) -> Vec<(String, String)> {
    let functions = match item {
        WorldItem::Interface { id, .. } => resolve.interfaces[*id].functions.values().collect(),
        WorldItem::Function(function) => vec![function],
        WorldItem::Type { .. } => vec![],
    };
    let core = |types: &[WasmType]| {
        let core = |ty: &WasmType| {
            if matches!(ty, WasmType::I64 | WasmType::PointerOrI64) { "i64 " } else { "i32 " }
        };
        types.iter().map(core).collect::<String>()
    };
    let signature = |function| {
        let signature = resolve.wasm_signature(side, function);
        format!("(param {}) (result {})", core(&signature.params), core(&signature.results))
    };
    functions.into_iter().map(|function| (function.name.clone(), signature(function))).collect()
}

#[test]
fn a_core_module_with_wit_becomes_a_component() {
    let inspected = inspect(&core(WIT, "inline-transform")).unwrap();
    assert_eq!(inspected.kind, ModuleKind::Transform);
    assert!(inspected.exports.contains(&"millstream:functions/transform@0.1.0".to_owned()));
    assert!(inspected.producers.iter().any(|p| p.starts_with("wit-component ")), "{:?}", inspected.producers);
    assert!(inspected.wit.contains("export millstream:functions/transform@0.1.0;"), "{}", inspected.wit);
    assert_eq!(&inspected.component[..5], b"\0asm\x0d");

    let again = inspect(&inspected.component).unwrap();
    assert_eq!((again.kind, again.component), (inspected.kind, inspected.component));
}

#[test]
fn every_released_world_is_accepted() {
    for (world, kind) in [
        ("inline-transform", ModuleKind::Transform),
        ("packed-transform", ModuleKind::TransformPacked),
        ("stateful-processor", ModuleKind::Processor),
        ("packed-processor", ModuleKind::ProcessorPacked),
        ("migrating-processor", ModuleKind::Processor),
        ("migrating-packed-processor", ModuleKind::ProcessorPacked),
        ("delivering-sink", ModuleKind::Sink),
        ("polling-source", ModuleKind::Source),
    ] {
        assert_eq!(inspect(&dummy(WIT, world)).unwrap().kind, kind);
    }
}

#[test]
fn other_files_are_told_apart() {
    assert_eq!(refused("").to_string(), "this is no WebAssembly binary: the upload is empty");
    assert_eq!(
        refused("(module)").to_string(),
        "this is no WebAssembly binary: it looks like the text format"
    );
    assert!(refused(vec![0x1f, 0x8b, 8, 0]).to_string().ends_with("it is gzip-compressed"));
    assert!(refused(b"\0asm\x01".to_vec()).to_string().ends_with("it ends within its first eight bytes"));
    assert!(matches!(refused(b"\0asm\x07\0\0\0".to_vec()), Invalid::Malformed(_)));
}

#[test]
fn truncated_bytes_are_malformed() {
    let module = core(WIT, "inline-transform");
    let component = inspect(&module).unwrap().component;
    for whole in [module, component] {
        for len in [9, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
            let told = refused(whole.slice(..len));
            assert!(
                matches!(told, Invalid::Malformed(_) | Invalid::NoWit | Invalid::NoKind { .. }),
                "{len}: {told:?}"
            );
        }
    }
}

#[test]
fn a_core_module_without_wit_says_so() {
    let told = refused(wat::parse_str(CORE).unwrap());
    assert_eq!(told, Invalid::NoWit);
    assert!(told.hint().contains("millstream:functions@0.1.0"));
}

#[test]
fn calls_of_preview_1_become_wasi_0_2_and_unknown_ones_are_named() {
    let importing = |function: &str| {
        let import =
            format!(r#"(import "wasi_snapshot_preview1" "{function}" (func $f (param i32))) (memory"#);
        // Unless it is called, it is nobody's import.
        let text = CORE
            .replace("(memory", &import)
            .replace("(func (export", "(func (param i32) (call $f (local.get 0))) (func (export");
        let mut bytes = wat::parse_str(text).unwrap();
        embed(&mut bytes, WIT, "inline-transform");
        inspect(&bytes.into())
    };
    assert_eq!(importing("proc_exit").unwrap().kind, ModuleKind::Transform);
    let told = importing("fork").unwrap_err();
    assert!(matches!(&told, Invalid::Encode(detail) if detail.contains("`fork`")), "{told:?}");
}

#[test]
fn another_world_lists_what_it_exports() {
    let wit = "package a:b; interface greet { hello: func(); } world w { export greet; }";
    let told = refused(dummy(wit, "w"));
    assert_eq!(told, Invalid::NoKind { found: vec!["a:b/greet".into()] });
    assert!(told.to_string().contains("it exports a:b/greet, and none of transform"), "{told}");
}

#[test]
fn another_version_of_the_package_names_both() {
    let newer = WIT.replace("functions@0.1.0", "functions@0.2.0");
    let told = refused(dummy(&newer, "inline-transform"));
    assert!(told.to_string().contains("@0.2.0; this server speaks version 0.1.0"), "{told}");
}

#[test]
fn unknown_imports_are_listed_with_what_to_do() {
    let wit = "package a:b; interface sms { send: func(to: string); }
        world w { import sms; import now: func() -> u64; export millstream:functions/transform@0.1.0; }";
    let wit =
        format!("{wit} package millstream:functions@0.1.0 {{ {} }}", WIT.split_once("0.1.0;").unwrap().1);
    let Invalid::Imports(unknown) = refused(dummy(&wit, "w")) else { panic!() };
    let names: Vec<_> = unknown.iter().map(|i| i.name.as_str()).collect();
    assert_eq!(names.len(), 2);
    assert!(names.contains(&"a:b/sms") && names.contains(&"now"), "{names:?}");
    assert!(unknown.iter().all(|i| !i.hint.is_empty()));
}

#[test]
fn imports_have_hints() {
    let hint = |name| import_hint(&Name::parse(name).unwrap(), false);
    assert_eq!(hint("wasi:cli/stdout@0.2.6"), None);
    assert_eq!(hint("wasi:io/streams@0.2.0"), None);
    assert!(hint("wasi:http/types@0.2.4").unwrap().contains("no network"));
    let out = |name| import_hint(&Name::parse(name).unwrap(), true);
    assert_eq!(out("wasi:http/types@0.2.4"), None);
    assert_eq!(out("wasi:http/outgoing-handler@0.2.12"), None);
    let told = out("wasi:http/incoming-handler@0.2.4").unwrap();
    assert_eq!(told, "of wasi:http sinks and sources may import types, outgoing-handler");
    assert_eq!(out("wasi:http/handler@0.3.0").unwrap(), "of wasi:http the versions 0.2 are offered");
    assert!(hint("wasi:clocks/wall-clock@0.3.0").unwrap().contains("0.3"));
    assert!(hint("millstream:functions/confg@0.1.0").unwrap().contains("config@0.1.0"));
}

#[test]
fn a_changed_interface_names_the_place() {
    let changed = WIT.replace("offset: u64,\n    message: message,", "offset: s64,\n    message: message,");
    let told = refused(dummy(&changed, "inline-transform"));
    let words = "function `process` of millstream:functions/transform@0.1.0 differs from the released interface: \
        parameter `batch`, `offset` is s64, expected u64";
    assert_eq!(told.to_string(), words);

    let renamed = WIT.replace("reject(string),\n  }", "refuse(string),\n  }");
    let told = refused(dummy(&renamed, "inline-transform"));
    assert!(
        told.to_string()
            .ends_with("has the cases keep, drop, emit, refuse, expected keep, drop, emit, reject"),
        "{told}"
    );
}

#[test]
fn timers_need_someone_who_is_called_and_like_queries_state() {
    let with = |body: &str, world: &str| dummy(&format!("{WIT}\nworld {world} {{ {body} }}"), world);
    let alone = with("import timers; export processor;", "alone");
    assert_eq!(refused(alone), Invalid::NoOnTimer);
    let stateless = refused(with("export transform; export on-timer;", "stateless"));
    assert!(matches!(stateless, Invalid::WithoutState { kind: "transform", .. }), "{stateless}");
    let asked = refused(with("export transform; export query;", "asked"));
    assert!(asked.to_string().contains("functions/query@0.1.0 beside `transform`"), "{asked}");
    let queried = inspect(&with("export processor; export query;", "queried")).unwrap();
    assert_eq!(queried.kind, ModuleKind::Processor);
    let list = inspect(&with("import timers; export processor-packed; export on-timer;", "mixed")).unwrap();
    assert_eq!(list.kind, ModuleKind::ProcessorPacked, "either form beside either form");
}

#[test]
fn a_wit_package_is_no_code() {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("test.wit", WIT).unwrap();
    assert_eq!(refused(wit_component::encode(&resolve, package).unwrap()), Invalid::WitPackage);
}

#[test]
fn bytes_that_announce_more_than_there_is_are_malformed() {
    // Code of 100 bytes, of which one is there: wit-component takes the section's range without a look.
    let told = |header: &[u8]| refused([header, &[10, 100, 1]].concat()).to_string();
    let expected = "the WebAssembly binary is malformed: it ends within a section, of which 100 bytes are announced and 1 there";
    assert_eq!(told(b"\0asm\x01\0\0\0"), expected);
    assert_eq!(told(b"\0asm\x0d\0\x01\0"), expected);
    let whole = core(WIT, "inline-transform");
    for end in 9..whole.len() {
        assert!(matches!(refused(whole.slice(..end)), Invalid::Malformed(_) | Invalid::NoWit), "{end}");
    }
}

#[test]
fn a_decoder_that_panics_harms_nobody() {
    let told = unharmed::<()>(|| panic!("range end index 100 out of range")).unwrap_err();
    assert_eq!(told.to_string(), "the WebAssembly binary is malformed: its sections contradict each other");
}

fn declaring(section: &[u8]) -> Vec<u8> {
    sections::with_section(&core(WIT, "inline-transform"), SECTION, section)
}

#[test]
fn declared_parameters_are_found_in_a_core_module_and_in_what_it_becomes() {
    let params =
        Params::of_project(serde_json::json!({ "keep": { "type": "integer", "default": 7 } })).unwrap();
    let module = with_params(&core(WIT, "inline-transform"), &params);
    let inspected = inspect(&module.clone().into()).unwrap();
    assert_eq!(inspected.params, Some(params.clone()));
    assert_eq!(inspect(&core(WIT, "inline-transform")).unwrap().params, None);

    // Nested in a component, and overruled by what stands beside it.
    let component = componentize(&module).unwrap();
    assert_eq!(inspect(&component.clone().into()).unwrap().params, Some(params));
    let other = Params::of_project(serde_json::json!({})).unwrap();
    let component = with_params(&component, &other);
    assert_eq!(inspect(&component.clone().into()).unwrap().params, Some(other.clone()));
    assert_eq!(with_params(&component, &other), component, "it takes the place of the one before");
}

#[test]
fn a_declaration_that_cannot_be_read_is_refused() {
    let told = refused(declaring(b"{\"version\":3}"));
    assert!(told.to_string().contains("it is of version 3, this server reads 1"), "{told}");
    assert!(told.hint().contains("params.yaml"));
    assert!(refused(declaring(&[b' '; 100_000])).to_string().contains("100000 bytes"));
    let mut twice = declaring(b"{}");
    twice.extend_from_slice(&declaring(b"{}")[core(WIT, "inline-transform").len()..]);
    assert_eq!(refused(twice), Invalid::Params("2 sections declare them".to_owned()));
}
