//! Looks at uploaded bytes: is it a component for this server, which kind, and if not, what its author should do. Nothing
//! is compiled or run here. Function bodies are validated by the compiler, in its own process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem;
use wit_component::{ComponentEncoder, DecodedWasm, StringEncoding, WitPrinter, embed_component_metadata};
use wit_parser::{InterfaceId, PackageId, Resolve, WorldId, WorldItem};

use super::{PACKAGE, PACKAGE_VERSION, WIT, preview1};
use crate::model::module::ModuleKind;
use crate::model::params::{Params, SECTION};
use crate::model::suggest;

mod invalid;
mod sections;
mod shape;
#[cfg(test)]
mod tests;

pub use invalid::{Invalid, UnknownImport};
pub use sections::import_sections;

/// What an upload turned out to be.
#[derive(Debug, Clone)]
pub struct Inspected {
    /// the component: the bytes as uploaded, or what a core module was made into
    pub component: Bytes,
    /// what its exports make of it
    pub kind: ModuleKind,
    /// interfaces it imports, as `package:name/interface@version`
    pub imports: Vec<String>,
    /// interfaces it exports
    pub exports: Vec<String>,
    /// tools that made it, such as `rustc 1.95.0`
    pub producers: Vec<String>,
    /// parameters it declares
    pub params: Option<Params>,
    /// its world as WIT text
    pub wit: String,
}

/// Imports and exports that are told of a component, and bytes of a name: a component may have a million exports beside
/// ours, and what is told of it is stored in one row and listed.
const NAMES_MAX: usize = 256;
const NAME_BYTES_MAX: usize = 256;
/// Interfaces of ours that a component may import; the linker offers exactly these.
const OFFERED: [&str; 5] = ["types", "log", "config", "state", "timers"];
/// Interfaces that a processor may export beside its own.
const BESIDE: [&str; 4] = ["migrate", QUERY, ON_TIMER[0], ON_TIMER[1]];
/// What is called when timers are due; the packed form is preferred.
pub(super) const ON_TIMER: [&str; 2] = ["on-timer-packed", "on-timer"];
/// What answers queries.
pub(super) const QUERY: &str = "query";
/// WASI 0.2 packages that are linked, over an empty context.
const WASI_OFFERED: [&str; 6] = ["cli", "clocks", "filesystem", "io", "random", "sockets"];
/// Interfaces of `wasi:http` 0.2 that are linked. They do something within a deployment's grants, which sinks and sources
/// alone can have.
const HTTP_OFFERED: [&str; 2] = ["types", "outgoing-handler"];
/// Our interfaces whose components go out.
const GOING_OUT: [&str; 2] = ["sink", "source"];
/// Kinds by what they export, the preferred one first.
const KINDS: [ModuleKind; 6] = [
    ModuleKind::TransformPacked,
    ModuleKind::Transform,
    ModuleKind::ProcessorPacked,
    ModuleKind::Processor,
    ModuleKind::Sink,
    ModuleKind::Source,
];

/// The released WIT, parsed.
struct Released {
    resolve: Resolve,
    package: PackageId,
}

static RELEASED: LazyLock<Released> = LazyLock::new(|| {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("millstream.wit", WIT).expect("a test parses the WIT that is built in");
    Released { resolve, package }
});

impl Released {
    fn interface(&self, name: &str) -> Option<InterfaceId> {
        self.resolve.packages[self.package].interfaces.get(name).copied()
    }
}

/// Checks uploaded bytes, a component or a core module that carries its WIT. Takes time in proportion to their size (a
/// second for 20 MB): call it where blocking is allowed.
pub fn inspect(bytes: &Bytes) -> Result<Inspected, Invalid> {
    unharmed(|| look_at(bytes))
}

/// The decoders are made for what a toolchain has written. On a stranger's bytes one of them may panic, which then says no
/// more than that they are malformed.
fn unharmed<T>(decode: impl FnOnce() -> Result<T, Invalid>) -> Result<T, Invalid> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| {
        tracing::error!("the decoder of components panicked over an uploaded module, which is refused");
        Err(Invalid::Malformed("its sections contradict each other".to_owned()))
    })
}

fn look_at(bytes: &Bytes) -> Result<Inspected, Invalid> {
    if let (Some(b"\0asm"), Some((announced, there))) = (bytes.get(..4), sections::cut_short(bytes)) {
        let detail =
            format!("it ends within a section, of which {announced} bytes are announced and {there} there");
        return Err(Invalid::Malformed(detail));
    }
    let component = match bytes.get(..8) {
        Some(b"\0asm\x0d\0\x01\0") => bytes.clone(),
        Some(b"\0asm\x01\0\0\0") => componentize(bytes)?.into(),
        Some([b'\0', b'a', b's', b'm', version @ ..]) => {
            return Err(Invalid::Malformed(format!(
                "binary version {version:02x?}, which is neither a module nor a component"
            )));
        }
        _ => return Err(Invalid::not_wasm(bytes)),
    };
    let (resolve, world) = match wit_component::decode(&component) {
        Ok(DecodedWasm::Component(resolve, world)) => (resolve, world),
        Ok(DecodedWasm::WitPackage(..)) => return Err(Invalid::WitPackage),
        Err(e) => return Err(Invalid::Malformed(format!("{e:#}"))),
    };

    let fits = |name: &String| name.len() <= NAME_BYTES_MAX;
    let names = |items: Vec<Item<'_>>| {
        items.into_iter().map(|item| item.name).filter(fits).take(NAMES_MAX).collect::<Vec<_>>()
    };
    check_imports(&resolve, world)?;
    let kind = kind(&resolve, world)?;
    Ok(Inspected {
        kind,
        imports: names(items(&resolve, world, Side::Imports)),
        exports: names(items(&resolve, world, Side::Exports)),
        producers: sections::producers(&component),
        params: declared(bytes)?,
        wit: print(&resolve, world),
        component,
    })
}

/// The parameters that a module declares, for which its own section is read before those of modules inside it.
fn declared(bytes: &[u8]) -> Result<Option<Params>, Invalid> {
    let (own, inner) = sections::named(bytes, SECTION);
    let sections = if own.is_empty() { inner } else { own };
    match &sections[..] {
        [] => Ok(None),
        [section] => Params::read(section).map(Some).map_err(Invalid::Params),
        several => Err(Invalid::Params(format!("{} sections declare them", several.len()))),
    }
}

/// The same bytes, declaring these parameters.
pub fn with_params(bytes: &[u8], params: &Params) -> Vec<u8> {
    sections::with_section(bytes, SECTION, &params.write())
}

/// Do these bytes, or what is nested in them, declare parameters?
pub fn declares_params(bytes: &[u8]) -> bool {
    let (own, inner) = sections::named(bytes, SECTION);
    !own.is_empty() || !inner.is_empty()
}

/// A core module, as rustc or clang write it, becomes a component by the WIT in its custom section.
fn componentize(module: &[u8]) -> Result<Vec<u8>, Invalid> {
    let (described, _) =
        wit_component::metadata::decode(module).map_err(|e| Invalid::Malformed(format!("{e:#}")))?;
    if described.is_none() {
        return Err(Invalid::NoWit);
    }
    let encoded = ComponentEncoder::default().validate(true).module(module).and_then(|encoder| {
        let adapted = preview1::is_named(module);
        let encoder = if adapted { encoder.adapter(preview1::MODULE, preview1::ADAPTER)? } else { encoder };
        { encoder }.encode()
    });
    encoded.map_err(|e| Invalid::Encode(format!("{e:#}")))
}

/// What a project was built into, with the released WIT of `world` inside: for tools that cannot put it there.
///
/// # Errors
/// A world that is not released, or bytes that are no core module.
pub fn with_world(mut module: Vec<u8>, world: &str) -> Result<Vec<u8>, String> {
    let Released { resolve, package } = &*RELEASED;
    let world = resolve.select_world(&[*package], Some(world)).map_err(|e| format!("{e:#}"))?;
    embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8)
        .map_err(|e| format!("{e:#}"))?;
    Ok(module)
}

/// The world of packed forms that a core module's exports belong to.
pub fn packed_world(module: &[u8]) -> Option<&'static str> {
    let exports = |interface: &str, function: &str| {
        let export = format!("{PACKAGE}/{interface}@{PACKAGE_VERSION}#{function}");
        memmem::find(module, export.as_bytes()).is_some()
    };
    if exports("processor-packed", "process") {
        return Some(match (exports(ON_TIMER[0], "on-timer"), exports(QUERY, "query")) {
            (false, false) => "packed-processor",
            (true, false) => "timed-packed-processor",
            (false, true) => "answering-packed-processor",
            (true, true) => "timed-answering-packed-processor",
        });
    }
    exports("transform-packed", "process").then_some("packed-transform")
}

#[derive(Clone, Copy)]
enum Side {
    Imports,
    Exports,
}

struct Item<'a> {
    name: String,
    item: &'a WorldItem,
}

fn items(resolve: &Resolve, world: WorldId, side: Side) -> Vec<Item<'_>> {
    let world = &resolve.worlds[world];
    let items = match side {
        Side::Imports => &world.imports,
        Side::Exports => &world.exports,
    };
    items.iter().map(|(key, item)| Item { name: resolve.name_world_key(key), item }).collect()
}

/// `package:name/interface@version`, taken apart.
struct Name<'a> {
    package: &'a str,
    interface: &'a str,
    version: &'a str,
}

impl<'a> Name<'a> {
    fn parse(name: &'a str) -> Option<Self> {
        let (package, rest) = name.split_once('/')?;
        let (interface, version) = rest.split_once('@').unwrap_or((rest, ""));
        Some(Self { package, interface, version })
    }
}

fn check_imports(resolve: &Resolve, world: WorldId) -> Result<(), Invalid> {
    let goes_out = GOING_OUT.iter().any(|name| {
        let wanted = format!("{PACKAGE}/{name}@{PACKAGE_VERSION}");
        items(resolve, world, Side::Exports).iter().any(|export| export.name == wanted)
    });
    let mut unknown = Vec::new();
    for Item { name, item } in items(resolve, world, Side::Imports) {
        let Some(parsed) = Name::parse(&name) else {
            // A type that the world names; a function would have to come from somewhere.
            if !matches!(item, WorldItem::Type { .. }) {
                unknown.push(UnknownImport {
                    hint: "the server offers interfaces, no single functions".into(),
                    name,
                });
            }
            continue;
        };
        if parsed.package == PACKAGE && parsed.version != PACKAGE_VERSION {
            return Err(Invalid::Version { found: name.clone(), expected: PACKAGE_VERSION });
        }
        if parsed.package == PACKAGE && OFFERED.contains(&parsed.interface) {
            if let WorldItem::Interface { id, .. } = item {
                check_interface(resolve, *id, parsed.interface, Side::Imports)?;
            }
            continue;
        }
        if let Some(hint) = import_hint(&parsed, goes_out) {
            unknown.push(UnknownImport { hint, name });
        }
    }
    if unknown.is_empty() { Ok(()) } else { Err(Invalid::Imports(unknown)) }
}

/// What to do about an import that is not ours; `None`: it is offered.
fn import_hint(import: &Name<'_>, goes_out: bool) -> Option<String> {
    if import.package == PACKAGE {
        return Some(match suggest(import.interface, OFFERED) {
            Some(near) => format!("did you mean `{PACKAGE}/{near}@{PACKAGE_VERSION}`?"),
            None => format!("the server offers {} of this package", OFFERED.join(", ")),
        });
    }
    let Some(wasi) = import.package.strip_prefix("wasi:") else {
        return Some(format!(
            "guests may import {PACKAGE} and WASI 0.2; give the component its own copy of this interface"
        ));
    };
    let minor = import.version.split('.').take(2).collect::<Vec<_>>().join(".");
    if minor == "0.2" && WASI_OFFERED.contains(&wasi) {
        return None;
    }
    if minor == "0.2" && wasi == "http" && goes_out {
        let offered = HTTP_OFFERED.contains(&import.interface);
        return (!offered)
            .then(|| format!("of wasi:http sinks and sources may import {}", HTTP_OFFERED.join(", ")));
    }
    Some(match (wasi, minor.as_str()) {
        ("http", _) if goes_out => "of wasi:http the versions 0.2 are offered".into(),
        ("http", _) => {
            "guests have no network; build without it (componentize-js: disableFeatures http and fetch-event)"
                .into()
        }
        (_, "0.3") => "WASI 0.3 is not offered; build for WASI 0.2 (componentize-qjs: --sync)".into(),
        _ => format!("of WASI 0.2 the packages {} are offered", WASI_OFFERED.join(", ")),
    })
}

fn kind(resolve: &Resolve, world: WorldId) -> Result<ModuleKind, Invalid> {
    let exports = items(resolve, world, Side::Exports);
    let exported = |kind: &ModuleKind| {
        let wanted = format!("{PACKAGE}/{}@{PACKAGE_VERSION}", kind.export());
        exports.iter().find(|export| export.name == wanted)
    };
    let found: Vec<_> = KINDS.into_iter().filter(|kind| exported(kind).is_some()).collect();
    let Some(kind) = found.first().copied() else {
        return Err(no_kind(exports));
    };
    // The two forms of a transform, or of a processor, are one kind of work; everything else stands alone.
    let same = |a: ModuleKind, b: ModuleKind| {
        a == b || (a.is_transform() && b.is_transform()) || (a.is_processor() && b.is_processor())
    };
    if found.iter().any(|other| !same(*other, kind)) {
        return Err(Invalid::Ambiguous);
    }
    for kind in found {
        if let Some(Item { item: WorldItem::Interface { id, .. }, .. }) = exported(&kind) {
            check_interface(resolve, *id, kind.export(), Side::Exports)?;
        }
    }
    for beside in BESIDE {
        let name = format!("{PACKAGE}/{beside}@{PACKAGE_VERSION}");
        if let Some(Item { item: WorldItem::Interface { id, .. }, .. }) =
            exports.iter().find(|e| e.name == name)
        {
            check_interface(resolve, *id, beside, Side::Exports)?;
        }
    }
    check_beside(resolve, world, kind)?;
    Ok(kind)
}

/// Who sets timers is called when they are due, and who is called then, or asked, has state.
fn check_beside(resolve: &Resolve, world: WorldId, kind: ModuleKind) -> Result<(), Invalid> {
    let ours = |name: &str| format!("{PACKAGE}/{name}@{PACKAGE_VERSION}");
    let exports = items(resolve, world, Side::Exports);
    let exported = ON_TIMER.into_iter().find(|name| exports.iter().any(|e| e.name == ours(name)));
    let functions = items(resolve, world, Side::Imports).into_iter().find_map(|import| match import.item {
        WorldItem::Interface { id, .. } if import.name == ours("timers") => Some(*id),
        _ => None,
    });
    let sets = functions.is_some_and(|id| !resolve.interfaces[id].functions.is_empty());
    if exported.is_none() && sets {
        return Err(Invalid::NoOnTimer);
    }
    let queried = exports.iter().any(|e| e.name == ours(QUERY)).then_some(QUERY);
    match exported.or(queried) {
        Some(name) if !kind.is_processor() => {
            Err(Invalid::WithoutState { name: ours(name), kind: kind.export() })
        }
        _ => Ok(()),
    }
}

/// Nothing that is known is exported: in another version perhaps, or under another name.
fn no_kind(exports: Vec<Item<'_>>) -> Invalid {
    for export in &exports {
        if let Some(name) = Name::parse(&export.name)
            && name.package == PACKAGE
            && name.version != PACKAGE_VERSION
        {
            return Invalid::Version { found: export.name.clone(), expected: PACKAGE_VERSION };
        }
    }
    Invalid::NoKind { found: exports.into_iter().map(|export| export.name).collect() }
}

/// Compares an interface with the released one of the same name. Exports need all of its functions, imports only those
/// they use.
fn check_interface(resolve: &Resolve, found: InterfaceId, name: &str, side: Side) -> Result<(), Invalid> {
    let released = &*RELEASED;
    let Some(expected) = released.interface(name) else { return Ok(()) };
    let found = &resolve.interfaces[found].functions;
    let expected = &released.resolve.interfaces[expected].functions;
    let differs = |function: &str, what: String| Invalid::Function {
        interface: format!("{PACKAGE}/{name}@{PACKAGE_VERSION}"),
        function: function.to_owned(),
        what,
    };
    let wanted = match side {
        Side::Exports => expected.keys(),
        Side::Imports => found.keys(),
    };
    for function in wanted {
        match (found.get(function), expected.get(function)) {
            (Some(f), Some(e)) => {
                shape::compare((resolve, f), (&released.resolve, e))
                    .map_err(|what| differs(function, what))?;
            }
            (None, _) => return Err(differs(function, "it is missing".to_owned())),
            (_, None) => {
                return Err(differs(function, "the released interface has no such function".to_owned()));
            }
        }
    }
    Ok(())
}

/// The world as text, with the packages it uses nested.
fn print(resolve: &Resolve, world: WorldId) -> String {
    let Some(main) = resolve.worlds[world].package else { return String::new() };
    let nested: Vec<_> = resolve.packages.iter().map(|(id, _)| id).filter(|id| *id != main).collect();
    let mut printer = WitPrinter::default();
    match printer.print(resolve, main, &nested) {
        Ok(()) => printer.output.to_string(),
        Err(e) => format!("// this world cannot be written as WIT: {e:#}\n"),
    }
}
