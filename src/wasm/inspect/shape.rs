//! Compares a function's type with the released one and names the first place where they differ. Names of types do not
//! matter, names of fields and cases do: that is the component model's rule.
//!
//! The walk follows the released type, which is small, so that a hostile one cannot make it long.

use wit_parser::{Function, FunctionKind, Handle, Resolve, Type, TypeDefKind, TypeId};

type In<'a, T> = (&'a Resolve, T);

/// `Err`: where they differ, what was found and what is expected.
pub(super) fn compare(found: In<'_, &Function>, expected: In<'_, &Function>) -> Result<(), String> {
    let ((in_found, f), (in_expected, e)) = (found, expected);
    if f.kind.is_async() != e.kind.is_async() {
        return Err("it is async; build it as a plain function".to_owned());
    }
    if std::mem::discriminant(&f.kind) != std::mem::discriminant(&e.kind) {
        return Err(format!("it is {}, expected {}", kind_words(&f.kind), kind_words(&e.kind)));
    }
    if f.params.len() != e.params.len() {
        return Err(format!("it takes {} parameters, expected {}", f.params.len(), e.params.len()));
    }
    let mut walk = Walk { found: in_found, expected: in_expected, path: Vec::new() };
    for (param_found, param) in f.params.iter().zip(&e.params) {
        walk.inside(&format!("parameter `{}`", param.name), |walk| walk.types(&param_found.ty, &param.ty))?;
    }
    walk.inside("result", |walk| walk.optional(f.result.as_ref(), e.result.as_ref()))
}

fn kind_words(kind: &FunctionKind) -> &'static str {
    match kind {
        FunctionKind::Freestanding | FunctionKind::AsyncFreestanding => "a plain function",
        FunctionKind::Method(_) | FunctionKind::AsyncMethod(_) => "a method",
        FunctionKind::Static(_) | FunctionKind::AsyncStatic(_) => "a static function",
        FunctionKind::Constructor(_) => "a constructor",
    }
}

struct Walk<'a> {
    found: &'a Resolve,
    expected: &'a Resolve,
    path: Vec<String>,
}

impl Walk<'_> {
    fn inside(
        &mut self,
        place: &str,
        work: impl FnOnce(&mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        self.path.push(place.to_owned());
        work(self)?;
        self.path.pop();
        Ok(())
    }

    fn differs(&self, found: &str, expected: &str) -> Result<(), String> {
        Err(format!("{} is {found}, expected {expected}", self.path.join(", ")))
    }

    fn optional(&mut self, found: Option<&Type>, expected: Option<&Type>) -> Result<(), String> {
        match (found, expected) {
            (None, None) => Ok(()),
            (Some(f), Some(e)) => self.types(f, e),
            (Some(f), None) => self.differs(&words(self.found, f), "nothing"),
            (None, Some(e)) => self.differs("nothing", &words(self.expected, e)),
        }
    }

    fn types(&mut self, found: &Type, expected: &Type) -> Result<(), String> {
        let (f, e) = (plain(self.found, *found), plain(self.expected, *expected));
        match (f, e) {
            (Type::Id(f), Type::Id(e)) => self.definitions(f, e),
            (f, e) if f == e => Ok(()),
            (f, e) => self.differs(&words(self.found, &f), &words(self.expected, &e)),
        }
    }

    fn definitions(&mut self, found: TypeId, expected: TypeId) -> Result<(), String> {
        let (in_found, in_expected) = (self.found, self.expected);
        match (&in_found.types[found].kind, &in_expected.types[expected].kind) {
            (TypeDefKind::Record(f), TypeDefKind::Record(e)) => {
                let f: Vec<_> = f.fields.iter().map(|field| (field.name.as_str(), Some(&field.ty))).collect();
                let e: Vec<_> = e.fields.iter().map(|field| (field.name.as_str(), Some(&field.ty))).collect();
                self.members("fields", &f, &e)
            }
            (TypeDefKind::Variant(f), TypeDefKind::Variant(e)) => {
                let f: Vec<_> = f.cases.iter().map(|case| (case.name.as_str(), case.ty.as_ref())).collect();
                let e: Vec<_> = e.cases.iter().map(|case| (case.name.as_str(), case.ty.as_ref())).collect();
                self.members("cases", &f, &e)
            }
            (TypeDefKind::Enum(f), TypeDefKind::Enum(e)) => {
                let f: Vec<_> = f.cases.iter().map(|case| (case.name.as_str(), None)).collect();
                let e: Vec<_> = e.cases.iter().map(|case| (case.name.as_str(), None)).collect();
                self.members("cases", &f, &e)
            }
            (TypeDefKind::Tuple(f), TypeDefKind::Tuple(e)) if f.types.len() == e.types.len() => {
                f.types.iter().zip(&e.types).try_for_each(|(f, e)| self.types(f, e))
            }
            (TypeDefKind::Option(f), TypeDefKind::Option(e))
            | (TypeDefKind::List(f), TypeDefKind::List(e)) => self.types(f, e),
            (TypeDefKind::Result(f), TypeDefKind::Result(e)) => {
                self.inside("ok", |walk| walk.optional(f.ok.as_ref(), e.ok.as_ref()))?;
                self.inside("error", |walk| walk.optional(f.err.as_ref(), e.err.as_ref()))
            }
            (TypeDefKind::Handle(Handle::Own(f)), TypeDefKind::Handle(Handle::Own(e)))
            | (TypeDefKind::Handle(Handle::Borrow(f)), TypeDefKind::Handle(Handle::Borrow(e)))
                if in_found.types[*f].name == in_expected.types[*e].name =>
            {
                Ok(())
            }
            _ => self.differs(&words(in_found, &Type::Id(found)), &words(in_expected, &Type::Id(expected))),
        }
    }

    fn members(
        &mut self,
        what: &str,
        found: &[(&str, Option<&Type>)],
        expected: &[(&str, Option<&Type>)],
    ) -> Result<(), String> {
        let names =
            |members: &[(&str, Option<&Type>)]| members.iter().map(|m| m.0).collect::<Vec<_>>().join(", ");
        if !found.iter().map(|m| m.0).eq(expected.iter().map(|m| m.0)) {
            return Err(format!(
                "{} has the {what} {}, expected {}",
                self.path.join(", "),
                names(found),
                names(expected)
            ));
        }
        for ((name, f), (_, e)) in found.iter().zip(expected) {
            self.inside(&format!("`{name}`"), |walk| walk.optional(*f, *e))?;
        }
        Ok(())
    }
}

/// Follows `use` and `type a = b`.
fn plain(resolve: &Resolve, mut ty: Type) -> Type {
    while let Type::Id(id) = ty {
        match &resolve.types[id].kind {
            TypeDefKind::Type(other) => ty = *other,
            _ => break,
        }
    }
    ty
}

/// A type in few words: its name, or its outermost shape.
fn words(resolve: &Resolve, ty: &Type) -> String {
    let Type::Id(id) = ty else { return format!("{ty:?}").to_lowercase() };
    let definition = &resolve.types[*id];
    match (&definition.name, &definition.kind) {
        (Some(name), kind) => format!("the {} `{name}`", kind.as_str()),
        (None, TypeDefKind::List(Type::U8)) => "list<u8>".to_owned(),
        (None, kind) => format!("a {}", kind.as_str()),
    }
}
