//! The versions of all modules, in memory. Plain data: what a reference means is decided here.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::error::ResolveError;
use crate::model::module::{Digest, ModuleRef, ModuleVersion, Version, VersionSelector};
use crate::model::{ModuleName, suggest};

/// Never holds a name without versions.
#[derive(Debug, Clone, Default)]
pub(super) struct Catalog {
    modules: BTreeMap<ModuleName, BTreeMap<Version, Arc<ModuleVersion>>>,
}

impl Catalog {
    pub(super) fn of(versions: Vec<ModuleVersion>) -> Self {
        let mut catalog = Self::default();
        versions.into_iter().for_each(|version| catalog.insert(Arc::new(version)));
        catalog
    }

    pub(super) fn insert(&mut self, version: Arc<ModuleVersion>) {
        self.modules.entry(version.name.clone()).or_default().insert(version.version.clone(), version);
    }

    pub(super) fn remove(&mut self, version: &ModuleVersion) {
        if let Some(versions) = self.modules.get_mut(&version.name) {
            versions.remove(&version.version);
            if versions.is_empty() {
                self.modules.remove(&version.name);
            }
        }
    }

    pub(super) fn list(&self) -> Vec<Arc<ModuleVersion>> {
        self.modules.values().flat_map(BTreeMap::values).cloned().collect()
    }

    /// Versions of all modules.
    pub(super) fn len(&self) -> usize {
        self.modules.values().map(BTreeMap::len).sum()
    }

    /// Some version with these bytes, of any name.
    pub(super) fn by_digest(&self, digest: &Digest) -> Option<Arc<ModuleVersion>> {
        self.modules.values().flat_map(BTreeMap::values).find(|version| version.digest == *digest).cloned()
    }

    pub(super) fn uses(&self, digest: &Digest) -> bool {
        self.by_digest(digest).is_some()
    }

    /// What an upload of `digest` as `version` of `name` meets: the version to give it, or one that is there already.
    pub(super) fn place(&self, name: &ModuleName, version: Option<&Version>, digest: &Digest) -> Place {
        let versions = self.modules.get(name);
        match version {
            Some(version) => match versions.and_then(|versions| versions.get(version)) {
                Some(there) if there.digest == *digest => Place::Same(there.clone()),
                Some(there) => Place::Taken(there.clone()),
                None => Place::New(version.clone()),
            },
            None => {
                let mut newest_first = versions.into_iter().flat_map(|versions| versions.values().rev());
                match newest_first.find(|there| there.digest == *digest) {
                    Some(there) => Place::Same(there.clone()),
                    None => Place::New(Version::after(versions.and_then(|v| v.keys().next_back()))),
                }
            }
        }
    }

    /// One version, or all of a module.
    pub(super) fn matching(
        &self,
        name: &ModuleName,
        version: Option<&Version>,
    ) -> Result<Vec<Arc<ModuleVersion>>, ResolveError> {
        let versions = self.versions(name)?;
        match version {
            None => Ok(versions.values().cloned().collect()),
            Some(version) => match versions.get(version) {
                Some(found) => Ok(vec![found.clone()]),
                None => Err(unknown(name, version.to_string(), versions)),
            },
        }
    }

    pub(super) fn resolve(&self, module: &ModuleRef) -> Result<Arc<ModuleVersion>, ResolveError> {
        let ModuleRef { name, version } = module;
        let versions = self.versions(name)?;
        match version {
            VersionSelector::Latest => {
                let newest = versions
                    .values()
                    .rev()
                    .find(|v| !is_prerelease(&v.version))
                    .or(versions.values().next_back());
                newest.cloned().ok_or_else(|| unknown(name, "latest".to_owned(), versions))
            }
            VersionSelector::Exact(version) => {
                versions.get(version).cloned().ok_or_else(|| unknown(name, version.to_string(), versions))
            }
            VersionSelector::DigestPrefix(digits) => {
                let asked = format!("sha256:{digits}");
                let mut fitting: Vec<_> =
                    versions.values().filter(|v| v.digest.hex().starts_with(digits)).collect();
                fitting.dedup_by_key(|v| v.digest);
                match fitting[..] {
                    [] => Err(unknown(name, asked, versions)),
                    [one] => Ok(one.clone()),
                    _ => Err(ResolveError::Ambiguous { module: name.clone(), asked, count: fitting.len() }),
                }
            }
        }
    }

    fn versions(&self, name: &ModuleName) -> Result<&BTreeMap<Version, Arc<ModuleVersion>>, ResolveError> {
        self.modules.get(name).ok_or_else(|| ResolveError::Module {
            module: name.clone(),
            suggestion: suggest(name.as_str(), self.modules.keys().map(ModuleName::as_str)),
        })
    }
}

/// See [`Catalog::place`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// these bytes are there
    Same(Arc<ModuleVersion>),
    /// the version is there with other bytes
    Taken(Arc<ModuleVersion>),
    /// free
    New(Version),
}

fn unknown(
    name: &ModuleName,
    asked: String,
    versions: &BTreeMap<Version, Arc<ModuleVersion>>,
) -> ResolveError {
    ResolveError::Version { module: name.clone(), asked, found: versions.keys().cloned().collect() }
}

fn is_prerelease(version: &Version) -> bool {
    version.to_string().contains('-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::module::ModuleKind;

    fn version(name: &str, version: &str, bytes: &[u8]) -> Arc<ModuleVersion> {
        Arc::new(ModuleVersion {
            name: ModuleName::parse(name).unwrap(),
            version: Version::parse(version).unwrap(),
            digest: Digest::of(bytes),
            kind: ModuleKind::Transform,
            size: 0,
            imports: vec![],
            exports: vec![],
            producers: vec![],
            params: None,
            compile_ms: 0,
            compiled_size: 0,
            created_ms: 0,
        })
    }

    fn catalog() -> Catalog {
        let mut catalog = Catalog::default();
        for (v, bytes) in [("1.0.0", b"a"), ("1.2.0", b"b"), ("2.0.0-rc.1", b"c")] {
            catalog.insert(version("item-cf", v, bytes));
        }
        catalog
    }

    fn resolve(text: &str) -> Result<String, ResolveError> {
        catalog().resolve(&ModuleRef::parse(text).unwrap()).map(|v| v.version.to_string())
    }

    #[test]
    fn latest_is_the_newest_release() {
        assert_eq!(resolve("item-cf").unwrap(), "1.2.0");
        assert_eq!(resolve("item-cf@2.0.0-rc.1").unwrap(), "2.0.0-rc.1");
        let digits = &Digest::of(b"a").hex()[..8];
        assert_eq!(resolve(&format!("item-cf@sha256:{digits}")).unwrap(), "1.0.0");
    }

    #[test]
    fn a_wrong_reference_says_what_there_is() {
        assert_eq!(
            resolve("item-cg").unwrap_err().to_string(),
            "module `item-cg` does not exist; did you mean `item-cf`?"
        );
        assert_eq!(
            resolve("item-cf@3.0.0").unwrap_err().to_string(),
            "module `item-cf` has no version 3.0.0; it has 1.0.0, 1.2.0, 2.0.0-rc.1"
        );
    }

    #[test]
    fn an_upload_gets_the_next_version_unless_its_bytes_are_there() {
        let catalog = catalog();
        let name = ModuleName::parse("item-cf").unwrap();
        let v = |text| Version::parse(text).unwrap();
        let place =
            |version: Option<&Version>, bytes: &[u8]| catalog.place(&name, version, &Digest::of(bytes));
        assert_eq!(place(None, b"new"), Place::New(v("2.0.1")));
        assert!(matches!(place(None, b"b"), Place::Same(there) if there.version == v("1.2.0")));
        assert!(
            matches!(place(Some(&v("1.0.0")), b"b"), Place::Taken(there) if there.digest == Digest::of(b"a"))
        );
        assert_eq!(place(Some(&v("1.5.0")), b"b"), Place::New(v("1.5.0")));
    }

    #[test]
    fn a_module_without_versions_is_gone() {
        let mut catalog = catalog();
        for version in catalog.list() {
            catalog.remove(&version);
        }
        assert!(catalog.modules.is_empty() && !catalog.uses(&Digest::of(b"a")));
    }
}
