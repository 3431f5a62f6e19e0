//! Write code for Millstream as plain Rust functions.
//!
//! A *transform* judges one record at a time, inline, before it is stored:
//!
//! ```
//! use millstream_sdk::{Output, Record, Verdict, transform};
//!
//! transform!(upper);
//!
//! fn upper(record: &Record<'_>) -> Verdict {
//!     match record.value() {
//!         None => Verdict::Keep,
//!         Some(b"") => Verdict::Reject("the value is empty".into()),
//!         Some(value) => Verdict::Emit(Output::new().value(value.to_ascii_uppercase())),
//!     }
//! }
//! ```
//!
//! A *processor* turns batches of records into state and outputs, topic to topic: see [`Processor`] and [`processor!`]. It can
//! be called again when event time or the clock has come so far: see [`Timed`] and [`timers`].
//!
//! What it keeps can be asked for over HTTP, also through code: see [`Query`] and [`query!`].
//!
//! A *sink* delivers batches of records to the outside, over [`http`]: see [`Sink`] and [`sink!`].
//!
//! A *source* is polled and brings records from outside: see [`Source`] and [`source!`].
//!
//! The same code compiles natively, where configuration, log, state and the servers outside are kept in memory: see [`testing`]. For the
//! server, build with `cargo build --release --target wasm32-unknown-unknown` and upload the `.wasm` as it is.
//!
//! The contract behind it is `wit/millstream.wit`. Unsafe code stands only in what `wit-bindgen` generates.

pub mod config;
pub mod http;
pub mod log;
mod model;
mod packed;
mod records;
mod runtime;
pub mod state;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
pub mod timers;
pub mod toolbox;

#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod bindings;

pub use model::{
    Content, Fault, Header, Input, IntoVerdict, ListProcessor, Migrate, Output, Polled, Processor, Query,
    QueryError, Sink, Source, Timed, Verdict,
};
pub use packed::{Headers, Record};

/// What the macros expand to; not for use by hand.
#[doc(hidden)]
pub mod __rt {
    #[cfg(target_arch = "wasm32")]
    pub use crate::records::wasm::{on_timer_packed, open_records, open_timed_records, process_records};
    pub use crate::runtime::accept_list_processor;
    pub use crate::runtime::{
        accept_migrate, accept_processor, accept_query, accept_sink, accept_source, accept_timed,
        accept_timed_list, accept_transform, bytes_of, no_settings,
    };
    #[cfg(target_arch = "wasm32")]
    pub use crate::runtime::{
        answer, deliver, migrate_step, on_timer_list, open_processor, open_query, open_sink, open_source,
        open_timed_processor, open_transform, poll, process_list, process_packed,
    };
}

/// Exports a function as this module's transform.
///
/// `transform!(judge)` takes a `fn judge(record: &Record<'_>) -> Verdict`. `transform!(judge, open = prepare)` calls
/// `fn prepare() -> Result<T, String>` once per instance, before the first record, and hands what it returned to each
/// call: `fn judge(prepared: &mut T, record: &Record<'_>) -> Verdict`. Both may also return `Result<Verdict, Fault>`.
/// Once per crate.
#[macro_export]
macro_rules! transform {
    ($judge:path) => {
        $crate::transform!(@export $crate::__rt::no_settings, |_: &mut (), record: &$crate::Record<'_>| {
            $crate::IntoVerdict::into_verdict($judge(record))
        });
    };
    ($judge:path, open = $open:path) => {
        $crate::transform!(@export $open, |prepared: &mut _, record: &$crate::Record<'_>| {
            $crate::IntoVerdict::into_verdict($judge(prepared, record))
        });
    };
    (@export $open:path, $judge:expr) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code)]
        const _: () = {
            use $crate::bindings::packed as glue;
            struct Exported;
            impl glue::exports::millstream::functions::transform_packed::Guest for Exported {
                fn open() -> ::core::result::Result<(), ::std::string::String> {
                    $crate::__rt::open_transform($open, $judge)
                }
                fn process(batch: glue::Batch) -> ::core::result::Result<glue::Outcome, glue::Error> {
                    $crate::__rt::process_packed(batch)
                }
            }
            glue::export_packed_transform!(Exported with_types_in glue);
        };
        // Natively nothing is exported, but the types are checked and the function counts as used.
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = || $crate::__rt::accept_transform($open, $judge);
    };
}

/// Exports a type that implements [`Processor`] as this module's processor; `processor!(T, list)` one that implements
/// [`ListProcessor`]. With `timed` behind it, as in `processor!(T, timed)`, also its [`Timed`], and with `migrate` at the
/// end its [`Migrate`]. Once per crate.
#[macro_export]
macro_rules! processor {
    ($processor:ty) => {
        $crate::processor!(@packed $processor, open_records, accept_processor);
    };
    ($processor:ty, list) => {
        $crate::processor!(@list $processor, open_processor, accept_list_processor);
    };
    ($processor:ty, timed) => {
        $crate::processor!(@packed $processor, open_timed_records, accept_timed);
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code)]
        const _: () = {
            use $crate::bindings::timed as glue;
            struct Exported;
            impl glue::exports::millstream::functions::on_timer_packed::Guest for Exported {
                fn on_timer(
                    due: ::std::vec::Vec<glue::Timer>,
                ) -> ::core::result::Result<glue::Records, glue::Error> {
                    $crate::__rt::on_timer_packed(due)
                }
            }
            glue::export_timed!(Exported with_types_in glue);
        };
    };
    ($processor:ty, list, timed) => {
        $crate::processor!(@list $processor, open_timed_processor, accept_timed_list);
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code)]
        const _: () = {
            use $crate::bindings::timed_list as glue;
            struct Exported;
            impl glue::exports::millstream::functions::on_timer::Guest for Exported {
                fn on_timer(
                    due: ::std::vec::Vec<glue::Timer>,
                ) -> ::core::result::Result<::std::vec::Vec<glue::Output>, glue::Error> {
                    $crate::__rt::on_timer_list(due)
                }
            }
            glue::export_timed_list!(Exported with_types_in glue);
        };
    };
    ($processor:ty, migrate) => {
        $crate::processor!($processor);
        $crate::processor!(@migrate $processor);
    };
    ($processor:ty, list, migrate) => {
        $crate::processor!($processor, list);
        $crate::processor!(@migrate $processor);
    };
    ($processor:ty, timed, migrate) => {
        $crate::processor!($processor, timed);
        $crate::processor!(@migrate $processor);
    };
    ($processor:ty, list, timed, migrate) => {
        $crate::processor!($processor, list, timed);
        $crate::processor!(@migrate $processor);
    };
    (@migrate $processor:ty) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code)]
        const _: () = {
            use $crate::bindings::migration as glue;
            struct Exported;
            impl glue::exports::millstream::functions::migrate::Guest for Exported {
                fn migrate(
                    version: ::std::string::String,
                    at: ::core::option::Option<::std::vec::Vec<u8>>,
                ) -> ::core::result::Result<::core::option::Option<::std::vec::Vec<u8>>, glue::Error>
                {
                    $crate::__rt::migrate_step::<$processor>(&version, at.as_deref())
                }
            }
            glue::export_migration!(Exported with_types_in glue);
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = || $crate::__rt::accept_migrate::<$processor>();
    };
    (@packed $processor:ty, $open:ident, $accept:ident) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code)]
        const _: () = {
            use $crate::bindings::records as glue;
            struct Exported;
            impl glue::exports::millstream::functions::processor_packed::Guest for Exported {
                fn open() -> ::core::result::Result<(), ::std::string::String> {
                    $crate::__rt::$open::<$processor>()
                }
                fn process(batch: glue::Batch) -> ::core::result::Result<glue::Records, glue::Error> {
                    $crate::__rt::process_records(batch)
                }
            }
            glue::export_packed_processor!(Exported with_types_in glue);
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = || $crate::__rt::$accept::<$processor>();
    };
    (@list $processor:ty, $open:ident, $accept:ident) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code)]
        const _: () = {
            use $crate::bindings::list as glue;
            struct Exported;
            impl glue::exports::millstream::functions::processor::Guest for Exported {
                fn open() -> ::core::result::Result<(), ::std::string::String> {
                    $crate::__rt::$open::<$processor>()
                }
                fn process(
                    batch: ::std::vec::Vec<glue::Input>,
                ) -> ::core::result::Result<::std::vec::Vec<glue::Output>, glue::Error> {
                    $crate::__rt::process_list(batch)
                }
            }
            glue::export_stateful_processor!(Exported with_types_in glue);
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = || $crate::__rt::$accept::<$processor>();
    };
}

/// Exports a type that implements [`Query`], which may be the processor's own, to answer queries over the processor's state.
/// Once per crate, beside [`processor!`].
#[macro_export]
macro_rules! query {
    ($query:ty) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code)]
        const _: () = {
            use $crate::bindings::query as glue;
            struct Exported;
            impl glue::exports::millstream::functions::query::Guest for Exported {
                fn open() -> ::core::result::Result<(), ::std::string::String> {
                    $crate::__rt::open_query::<$query>()
                }
                fn query(
                    request: ::std::vec::Vec<u8>,
                ) -> ::core::result::Result<::std::vec::Vec<u8>, glue::Error> {
                    $crate::__rt::answer(&request)
                }
            }
    glue::export_query!(Exported with_types_in glue);
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = || $crate::__rt::accept_query::<$query>();
    };
}

/// Exports a type that implements [`Sink`] as this module's sink. Once per crate.
#[macro_export]
macro_rules! sink {
    ($sink:ty) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code)]
        const _: () = {
            use $crate::bindings::sink as glue;
            struct Exported;
            impl glue::exports::millstream::functions::sink::Guest for Exported {
                fn open() -> ::core::result::Result<(), ::std::string::String> {
                    $crate::__rt::open_sink::<$sink>()
                }
                fn deliver(batch: ::std::vec::Vec<glue::Input>) -> ::core::result::Result<(), glue::Error> {
                    $crate::__rt::deliver(batch)
                }
            }
    glue::export_sink!(Exported with_types_in glue);
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = || $crate::__rt::accept_sink::<$sink>();
    };
}

/// Exports a type that implements [`Source`] as this module's source. Once per crate.
#[macro_export]
macro_rules! source {
    ($source:ty) => {
        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code)]
        const _: () = {
            use $crate::bindings::source as glue;
            struct Exported;
            impl glue::exports::millstream::functions::source::Guest for Exported {
                fn open() -> ::core::result::Result<(), ::std::string::String> {
                    $crate::__rt::open_source::<$source>()
                }
                fn poll(
                    cursor: ::core::option::Option<::std::vec::Vec<u8>>,
                ) -> ::core::result::Result<glue::Polled, glue::Error> {
                    $crate::__rt::poll(cursor)
                }
            }
    glue::export_polling_source!(Exported with_types_in glue);
        };
        #[cfg(not(target_arch = "wasm32"))]
        const _: fn() = || $crate::__rt::accept_source::<$source>();
    };
}

/// Declares the module's parameters, for who builds with cargo alone; `millstream module build` also takes a file
/// `params.yaml` of the same shape. Once per crate, as JSON: name → type (`string`, `integer`, `number`, `boolean`,
/// `duration`, `bytes` or `enum`), and as need be `description`, `required`, `default`, `min`, `max`, `values`. The server
/// refuses a deployment whose parameters do not fit, and hands the defaults to [`config::get`].
///
/// ```
/// millstream_sdk::params! {
///     "url": { "type": "string", "required": true, "description": "where to look" },
///     "keep": { "type": "integer", "default": 200, "min": 1 },
///     "mode": { "type": "enum", "values": ["first", "last"], "default": "last" }
/// }
/// ```
#[macro_export]
macro_rules! params {
    ($($declaration:tt)*) => {
        const _: () = {
            const TEXT: &str =
                ::core::concat!("{\"version\":1,\"params\":{", ::core::stringify!($($declaration)*), "}}");
            // A custom section of the module: it takes no memory when it runs.
            #[allow(unsafe_code)]
            #[cfg_attr(target_arch = "wasm32", unsafe(link_section = "millstream:params"))]
            #[used]
            static SECTION: [u8; TEXT.len()] = *$crate::__rt::bytes_of(TEXT);
        };
    };
}
