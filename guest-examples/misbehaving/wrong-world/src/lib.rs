//! A well-formed component of another house: it exports `elsewhere:other/greeter@1.0.0` and nothing that Millstream
//! calls, so that its upload is refused with the names of what was found and what is expected.

#![cfg_attr(target_arch = "wasm32", allow(unsafe_code, reason = "generated code"))]

/// The one function of the other house.
pub fn greeting(name: &str) -> String {
    format!("Hello, {name}!")
}

#[cfg(target_arch = "wasm32")]
mod bindings {
    wit_bindgen::generate!({
        inline: "
            package elsewhere:other@1.0.0;
            interface greeter { greet: func(name: string) -> string; }
            world greetings { export greeter; }
        ",
    });

    struct Greetings;

    impl exports::elsewhere::other::greeter::Guest for Greetings {
        fn greet(name: String) -> String {
            super::greeting(&name)
        }
    }

    export!(Greetings);
}
