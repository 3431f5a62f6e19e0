//! Why an upload is refused, in words about its author's world: what is missing, what was found, what to do.

use super::super::{PACKAGE, PACKAGE_VERSION};
use crate::model::module::ModuleKind;

/// Names in a sentence; a component may have a million.
const LISTED_MAX: usize = 20;

/// A refused upload. `Display` says what is wrong, [`Invalid::hint`] what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// another kind of file
    #[error("this is no WebAssembly binary: {0}")]
    NotWasm(String),
    /// WebAssembly, but broken
    #[error("the WebAssembly binary is malformed: {0}")]
    Malformed(String),
    /// a package of interfaces without code
    #[error("this is a WIT package, which describes interfaces; it contains no code")]
    WitPackage,
    /// a core module that nothing is known of
    #[error("this is a core WebAssembly module without WIT, so its functions have no meaning to the server")]
    NoWit,
    /// a core module that does not fit its own WIT
    #[error("the core module does not fit the WIT it carries: {0}")]
    Encode(String),
    /// nothing that the server calls
    #[error(
        "it exports {}, and none of {} of {PACKAGE}@{PACKAGE_VERSION}",
        listed(found.iter().map(String::as_str)),
        listed(ModuleKind::ALL.map(ModuleKind::export).into_iter())
    )]
    NoKind {
        /// everything it exports
        found: Vec<String>,
    },
    /// two kinds of work at once
    #[error("it exports more than one of a transform, a processor, a sink and a source")]
    Ambiguous,
    /// it sets timers and cannot be called by them
    #[error(
        "it imports `timers` of {PACKAGE}@{PACKAGE_VERSION} and exports no `on-timer`, so no timer could fire"
    )]
    NoOnTimer,
    /// timers or queries without a processor
    #[error("it exports {name} beside `{kind}`; only a processor has timers and state")]
    WithoutState {
        /// full name of the interface
        name: String,
        /// what it exports beside
        kind: &'static str,
    },
    /// our package in a version this server does not speak
    #[error("it uses {found}; this server speaks version {expected}")]
    Version {
        /// the interface as named by the component
        found: String,
        /// ours
        expected: &'static str,
    },
    /// a declaration of parameters that cannot be read
    #[error("its declaration of parameters (custom section `millstream:params`) cannot be used: {0}")]
    Params(String),
    /// imports that nobody fulfils
    #[error("it imports what the server does not offer: {}", listed(.0.iter().map(|i| i.name.as_str())))]
    Imports(Vec<UnknownImport>),
    /// the right name with another type
    #[error("function `{function}` of {interface} differs from the released interface: {what}")]
    Function {
        /// full name of the interface
        interface: String,
        /// its function
        function: String,
        /// where, found and expected
        what: String,
    },
}

/// An import that the server does not offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownImport {
    /// as the component names it
    pub name: String,
    /// what to do about it
    pub hint: String,
}

impl Invalid {
    pub(super) fn not_wasm(bytes: &[u8]) -> Self {
        let found = match bytes {
            [] => "the upload is empty".to_owned(),
            [0x1f, 0x8b, ..] => "it is gzip-compressed".to_owned(),
            [b'P', b'K', ..] => "it is a zip archive".to_owned(),
            [0x7f, b'E', b'L', b'F', ..] => "it is a native Linux binary".to_owned(),
            [b'\0', b'a', b's', b'm', ..] => "it ends within its first eight bytes".to_owned(),
            _ if bytes.trim_ascii_start().starts_with(b"(") => "it looks like the text format".to_owned(),
            _ => format!("it begins with {:02x?}", &bytes[..bytes.len().min(4)]),
        };
        Self::NotWasm(found)
    }

    /// What the author can do.
    pub fn hint(&self) -> String {
        match self {
            Self::NotWasm(_) => {
                "upload the .wasm that your build writes, such as target/wasm32-unknown-unknown/release/NAME.wasm".into()
            }
            Self::Malformed(_) => "build again and upload the whole file".into(),
            Self::WitPackage => "upload the component that was built from it".into(),
            Self::NoWit => format!(
                "build with bindings for {PACKAGE}@{PACKAGE_VERSION} (Rust: the SDK's macros, C: link the \
                 *_component_type.o that wit-bindgen wrote), which put the WIT into the module"
            ),
            Self::Encode(_) => "build the bindings again from the WIT that `millstream module wit` prints".into(),
            Self::NoKind { .. } => format!(
                "export one of them: choose a world of {PACKAGE}@{PACKAGE_VERSION} (`millstream module wit` prints it) when \
                 the bindings are made"
            ),
            Self::NoOnTimer => {
                "export `on-timer` or `on-timer-packed` (Rust: `processor!(T, timed)`), or leave the import out".into()
            }
            Self::WithoutState { .. } => "export `processor` or `processor-packed`, or leave it out".into(),
            Self::Ambiguous => "upload one component for each".into(),
            Self::Params(_) => {
                "declare them once, in params.yaml (`millstream module build` checks it) or with the SDK's params!".into()
            }
            Self::Version { expected, .. } => {
                format!("build with the SDK or WIT of version {expected}, or update the server")
            }
            Self::Imports(unknown) => {
                let told = unknown.iter().take(LISTED_MAX).map(|i| format!("{}: {}", i.name, i.hint));
                told.collect::<Vec<_>>().join("; ")
            }
            Self::Function { .. } => {
                format!("build with an unchanged copy of {PACKAGE}@{PACKAGE_VERSION}, which `millstream module wit` prints")
            }
        }
    }
}

fn listed<'n>(names: impl ExactSizeIterator<Item = &'n str>) -> String {
    let more = names.len().saturating_sub(LISTED_MAX);
    let shown = names.take(LISTED_MAX).collect::<Vec<_>>().join(", ");
    match (shown.is_empty(), more) {
        (true, _) => "nothing".to_owned(),
        (false, 0) => shown,
        (false, more) => format!("{shown} and {more} more"),
    }
}
