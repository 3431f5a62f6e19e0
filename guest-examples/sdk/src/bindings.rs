//! What `wit-bindgen` makes of `wit/millstream.wit`: one module per form this SDK exports. Must hold no logic; the
//! conversions stand in `runtime`.

#![allow(unsafe_code, missing_docs, unreachable_pub, clippy::all, reason = "generated code")]

/// The packed form of a transform.
pub mod packed {
    wit_bindgen::generate!({
        path: "wit/millstream.wit",
        world: "packed-transform",
        pub_export_macro: true,
        export_macro_name: "export_packed_transform",
        default_bindings_module: "millstream_sdk::bindings::packed",
    });

    pub use exports::millstream::functions::transform_packed::{
        Action, EntryOut, PackedIn as Batch, PackedOut as Outcome,
    };
    pub use millstream::functions::types::Error;
}

/// The processor, and the host's log, configuration and state as the SDK uses them in both forms.
pub mod list {
    wit_bindgen::generate!({
        path: "wit/millstream.wit",
        world: "stateful-processor",
        pub_export_macro: true,
        export_macro_name: "export_stateful_processor",
        default_bindings_module: "millstream_sdk::bindings::list",
        ownership: Borrowing { duplicate_if_necessary: false },
    });

    pub use millstream::functions::types::{Content, Error, Header, Input, Output};
}

/// The sink.
pub mod sink {
    wit_bindgen::generate!({
        path: "wit/millstream.wit",
        inline: "package millstream:sdk; world sink { export millstream:functions/sink@0.1.0; }",
        world: "millstream:sdk/sink",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_sink",
        default_bindings_module: "millstream_sdk::bindings::sink",
    });

    pub use millstream::functions::types::{Error, Header, Input};
}

/// Requests, for those that go out.
pub mod http {
    wit_bindgen::generate!({
        path: ["wit/deps/io.wit", "wit/deps/clocks.wit", "wit/deps/http.wit"],
        inline: "package millstream:sdk; world http { import wasi:http/outgoing-handler@0.2.12; }",
        world: "millstream:sdk/http",
        generate_all,
    });
}

/// The packed form of a processor.
pub mod records {
    wit_bindgen::generate!({
        path: "wit/millstream.wit",
        world: "packed-processor",
        pub_export_macro: true,
        export_macro_name: "export_packed_processor",
        default_bindings_module: "millstream_sdk::bindings::records",
        with: {
            "millstream:functions/types@0.1.0": super::list::millstream::functions::types,
            "millstream:functions/log@0.1.0": super::list::millstream::functions::log,
            "millstream:functions/config@0.1.0": super::list::millstream::functions::config,
            "millstream:functions/state@0.1.0": super::list::millstream::functions::state,
        },
    });

    pub use super::list::millstream::functions::types::Error;
    pub use exports::millstream::functions::processor_packed::{
        EntryIn, EntryOut as RecordOut, PackedIn as Batch, PackedOut as Records,
    };

    impl From<&EntryIn> for crate::packed::Head {
        fn from(entry: &EntryIn) -> Self {
            let EntryIn { topic, partition, offset, timestamp, key_len, value_len, headers_len } = *entry;
            Self { topic, partition, offset, timestamp, key_len, value_len, headers_len }
        }
    }
}

/// The migration of state, beside a processor of either form.
pub mod migration {
    wit_bindgen::generate!({
        inline: "package millstream:sdk; world migration { export millstream:functions/migrate@0.1.0; }",
        path: "wit/millstream.wit",
        world: "millstream:sdk/migration",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_migration",
        default_bindings_module: "millstream_sdk::bindings::migration",
    });

    pub use millstream::functions::types::Error;
}

/// Queries, beside a processor of either form.
pub mod query {
    wit_bindgen::generate!({
        inline: "package millstream:sdk; world query { export millstream:functions/query@0.1.0; }",
        path: "wit/millstream.wit",
        world: "millstream:sdk/query",
        generate_all,
        pub_export_macro: true,
        export_macro_name: "export_query",
        default_bindings_module: "millstream_sdk::bindings::query",
    });

    pub use exports::millstream::functions::query::Error;
}

/// Timers, as the host offers them to processors.
pub mod timers {
    wit_bindgen::generate!({
        inline: "package millstream:sdk; world timers { import millstream:functions/timers@0.1.0; }",
        path: "wit/millstream.wit",
        world: "millstream:sdk/timers",
        generate_all,
    });
}

/// What is called when timers are due, beside a processor in its packed form.
pub mod timed {
    wit_bindgen::generate!({
        inline: "package millstream:sdk; world timed { export millstream:functions/on-timer-packed@0.1.0; }",
        path: "wit/millstream.wit",
        world: "millstream:sdk/timed",
        with: {
            "millstream:functions/types@0.1.0": super::list::millstream::functions::types,
            "millstream:functions/timers@0.1.0": super::timers::millstream::functions::timers,
        },
        pub_export_macro: true,
        export_macro_name: "export_timed",
        default_bindings_module: "millstream_sdk::bindings::timed",
    });

    pub use super::list::millstream::functions::types::Error;
    pub use exports::millstream::functions::on_timer_packed::{EntryOut, PackedOut as Records, Timer};
}

/// The same beside a processor in its list form.
pub mod timed_list {
    wit_bindgen::generate!({
        inline: "package millstream:sdk; world timed-list { export millstream:functions/on-timer@0.1.0; }",
        path: "wit/millstream.wit",
        world: "millstream:sdk/timed-list",
        with: {
            "millstream:functions/types@0.1.0": super::list::millstream::functions::types,
            "millstream:functions/timers@0.1.0": super::timers::millstream::functions::timers,
        },
        pub_export_macro: true,
        export_macro_name: "export_timed_list",
        default_bindings_module: "millstream_sdk::bindings::timed_list",
    });

    pub use super::list::millstream::functions::types::{Error, Output};
    pub use exports::millstream::functions::on_timer::Timer;
}

/// The source.
pub mod source {
    wit_bindgen::generate!({
        path: "wit/millstream.wit",
        world: "polling-source",
        pub_export_macro: true,
        export_macro_name: "export_polling_source",
        default_bindings_module: "millstream_sdk::bindings::source",
        with: {
            "millstream:functions/types@0.1.0": super::list::millstream::functions::types,
            "millstream:functions/log@0.1.0": super::list::millstream::functions::log,
            "millstream:functions/config@0.1.0": super::list::millstream::functions::config,
        },
    });

    pub use super::list::millstream::functions::types::Error;
    pub use exports::millstream::functions::source::Polled;
}
