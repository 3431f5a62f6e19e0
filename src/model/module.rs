//! Uploaded modules: kinds, versions, digests.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ModuleName;
use super::deployment::DeploymentKind;
use super::params::Params;

/// What a component's exports make of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModuleKind {
    /// exports `transform`
    Transform,
    /// exports `transform-packed`
    TransformPacked,
    /// exports `processor`
    Processor,
    /// exports `processor-packed`
    ProcessorPacked,
    /// exports `sink`
    Sink,
    /// exports `source`
    Source,
}

impl ModuleKind {
    /// Every kind, for texts that name them.
    pub const ALL: [Self; 6] = [
        Self::Transform,
        Self::TransformPacked,
        Self::Processor,
        Self::ProcessorPacked,
        Self::Sink,
        Self::Source,
    ];

    /// What a deployment of a kind can run.
    pub fn fits(self, deployment: DeploymentKind) -> bool {
        match deployment {
            DeploymentKind::Inline | DeploymentKind::View => self.is_transform(),
            DeploymentKind::Processor => self.is_processor() || self.is_transform(),
            DeploymentKind::Sink => self == Self::Sink,
            DeploymentKind::Source => self == Self::Source,
        }
    }

    /// Judges single records: can be deployed inline, and as a processor without state.
    pub fn is_transform(self) -> bool {
        matches!(self, Self::Transform | Self::TransformPacked)
    }

    /// Works from topic to topic, with state.
    pub fn is_processor(self) -> bool {
        matches!(self, Self::Processor | Self::ProcessorPacked)
    }

    /// The exported interface.
    pub fn export(self) -> &'static str {
        match self {
            Self::Transform => "transform",
            Self::TransformPacked => "transform-packed",
            Self::Processor => "processor",
            Self::ProcessorPacked => "processor-packed",
            Self::Sink => "sink",
            Self::Source => "source",
        }
    }

    /// The exported function that does the work.
    pub fn function(self) -> &'static str {
        match self {
            Self::Sink => "deliver",
            Self::Source => "poll",
            _ => "process",
        }
    }

    /// May import `wasi:http`.
    pub fn goes_out(self) -> bool {
        matches!(self, Self::Sink | Self::Source)
    }
}

/// SHA-256 of the uploaded bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        self.0.iter().map(|b| format!("{b:02x}")).collect()
    }

    /// Reads `sha256:` and 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix("sha256:").filter(|h| h.len() == 64 && h.is_ascii())?;
        let mut out = [0; 32];
        for (i, byte) in out.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).ok()?;
        }
        Some(Self(out))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom("expected sha256: and 64 hexadecimal digits"))
    }
}

/// MAJOR.MINOR.PATCH with an optional pre-release, ordered as semver says (pre-releases by their text).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Version {
    numbers: [u64; 3],
    pre: Option<String>,
}

impl Version {
    /// Reads `1.2.3` or `1.2.3-rc.1`.
    pub fn parse(text: &str) -> Option<Self> {
        let (core, pre) = match text.split_once('-') {
            Some((core, pre)) => (core, Some(pre)),
            None => (text, None),
        };
        let fits = |p: &str| {
            !p.is_empty()
                && p.len() <= 64
                && p.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-')
        };
        if pre.is_some_and(|p| !fits(p)) {
            return None;
        }
        let mut parts = core.split('.').map(|p| {
            let plain = p.chars().all(|c| c.is_ascii_digit()) && (p == "0" || !p.starts_with('0'));
            if plain { p.parse::<u64>().ok() } else { None }
        });
        let numbers = [parts.next()??, parts.next()??, parts.next()??];
        parts.next().is_none().then(|| Self { numbers, pre: pre.map(str::to_owned) })
    }

    /// The version given to an upload without one: the next patch of the newest, or 0.1.0.
    pub fn after(newest: Option<&Self>) -> Self {
        match newest {
            None => Self { numbers: [0, 1, 0], pre: None },
            Some(v) => {
                Self { numbers: [v.numbers[0], v.numbers[1], v.numbers[2].saturating_add(1)], pre: None }
            }
        }
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // A pre-release comes before its release.
        let pre = |v: &Self| (v.pre.is_none(), v.pre.clone());
        self.numbers.cmp(&other.numbers).then_with(|| pre(self).cmp(&pre(other)))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}")?;
        self.pre.as_ref().map_or(Ok(()), |pre| write!(f, "-{pre}"))
    }
}

impl Serialize for Version {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom(format!("`{text}` is no version such as 1.2.3")))
    }
}

/// How a version is asked for: `latest`, `1.2.3`, or `sha256:` with 8 or more digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionSelector {
    /// the newest
    Latest,
    /// exactly this one
    Exact(Version),
    /// lower-case hexadecimal digits, a prefix of the digest
    DigestPrefix(String),
}

impl VersionSelector {
    /// Reads one of the three forms.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "latest" {
            return Ok(Self::Latest);
        }
        if let Some(hex) = text.strip_prefix("sha256:") {
            if (8..=64).contains(&hex.len()) && hex.chars().all(|c| c.is_ascii_hexdigit()) {
                return Ok(Self::DigestPrefix(hex.to_ascii_lowercase()));
            }
            return Err(format!("`{text}`: sha256: wants 8 to 64 hexadecimal digits"));
        }
        Version::parse(text).map(Self::Exact).ok_or_else(|| {
            format!("`{text}` is no module version; expected latest, 1.2.3 or sha256:<digits>")
        })
    }
}

/// `name` or `name@version`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleRef {
    /// the module
    pub name: ModuleName,
    /// which version of it
    pub version: VersionSelector,
}

impl ModuleRef {
    /// Reads `name`, `name@latest`, `name@1.2.3`, `name@sha256:…`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, version) = text.split_once('@').unwrap_or((text, "latest"));
        let name = ModuleName::parse(name).map_err(|e| e.to_string())?;
        Ok(Self { name, version: VersionSelector::parse(version)? })
    }
}

/// A stored version of a module. Immutable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModuleVersion {
    /// the module
    pub name: ModuleName,
    /// its version
    pub version: Version,
    /// of the bytes as uploaded
    pub digest: Digest,
    /// what its exports make of it
    pub kind: ModuleKind,
    /// bytes as uploaded
    pub size: u64,
    /// interfaces it imports, as `package:name/interface@version`
    pub imports: Vec<String>,
    /// interfaces it exports
    pub exports: Vec<String>,
    /// tools named in its producers section, such as `rustc 1.95.0`
    pub producers: Vec<String>,
    /// the parameters it declares; `None`: it declares nothing, and takes what is given
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<Params>,
    /// CPU milliseconds of its compilation
    pub compile_ms: u64,
    /// bytes of the compiled artifact
    pub compiled_size: u64,
    /// milliseconds since the epoch
    pub created_ms: i64,
}

impl ModuleVersion {
    /// Is it called when timers are due?
    pub fn is_timed(&self) -> bool {
        let names = ["millstream:functions/on-timer", "millstream:functions/on-timer-packed"];
        self.exports.iter().any(|e| e.split('@').next().is_some_and(|name| names.contains(&name)))
    }

    /// Does it answer queries?
    pub fn is_queried(&self) -> bool {
        self.exports.iter().any(|e| e.split('@').next() == Some("millstream:functions/query"))
    }

    /// Can it migrate the state that another version has made?
    pub fn migrates(&self) -> bool {
        self.exports.iter().any(|e| e.split('@').next() == Some("millstream:functions/migrate"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_read_and_order_as_semver() {
        let v = |t| Version::parse(t).unwrap();
        assert!(v("1.2.10") > v("1.2.9") && v("1.0.0") > v("1.0.0-rc.1") && v("2.0.0-a") > v("1.9.9"));
        assert_eq!(v("1.2.3-rc.1").to_string(), "1.2.3-rc.1");
        for bad in ["1", "1.2", "1.2.3.4", "01.2.3", "1.2.x", "", "1.2.3-", "+1.2.3"] {
            assert_eq!(Version::parse(bad), None, "{bad}");
        }
        assert_eq!(Version::after(None).to_string(), "0.1.0");
        assert_eq!(Version::after(Some(&v("1.2.3-rc"))).to_string(), "1.2.4");
    }

    #[test]
    fn a_reference_names_module_and_version() {
        let r = ModuleRef::parse("item-cf@1.0.0").unwrap();
        assert_eq!(
            (r.name.as_str(), r.version),
            ("item-cf", VersionSelector::Exact(Version::parse("1.0.0").unwrap()))
        );
        assert_eq!(ModuleRef::parse("item-cf").unwrap().version, VersionSelector::Latest);
        assert!(ModuleRef::parse("item-cf@newest").is_err());
        assert!(ModuleRef::parse("@1.0.0").is_err());
    }

    #[test]
    fn a_digest_reads_back() {
        let digest = Digest::of(b"abc");
        assert_eq!(Digest::parse(&digest.to_string()), Some(digest));
        assert!(digest.hex().starts_with("ba7816bf"));
        assert_eq!(Digest::parse("sha256:é"), None);
    }
}
