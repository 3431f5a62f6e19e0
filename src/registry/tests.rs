//! The registry on a real storage, with this test binary as the compiling child.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::model::module::ModuleKind;
use crate::storage;
use crate::wasm::artifact;
use crate::wasm::tests::{Guest, engine};

/// Where the compiling child finds its arguments, for a test binary has no subcommands.
const COMPONENT_VAR: &str = "TEST_COMPILE_COMPONENT";
const OUT_VAR: &str = "TEST_COMPILE_OUT";

/// The body of the child: what `main` does for the subcommand.
#[test]
#[expect(clippy::disallowed_methods, reason = "stands in for the command line")]
fn compiling_child() {
    let (Ok(component), Ok(out)) = (std::env::var(COMPONENT_VAR), std::env::var(OUT_VAR)) else { return };
    compile::limit_self(360).unwrap();
    artifact::compile_file(Path::new(&component), Path::new(&out)).unwrap();
}

/// Fields are dropped in this order.
struct Fixture {
    storage: Storage,
    dir: TempDir,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (clock, _) = Clock::manual(0);
        let options =
            storage::Options { dir: dir.path().join("data"), memory: 64 << 20, clock, reader_threads: 1 };
        Self { storage: Storage::open(options).unwrap(), dir }
    }

    /// A shell script that is called as the server's binary would be.
    fn script(&self, body: &str) -> PathBuf {
        let path = self.dir.path().join("exe.sh");
        std::fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// This test binary as the compiler; every call leaves a line in `compilations`.
    fn compiler(&self) -> PathBuf {
        let (me, log) = (std::env::current_exe().unwrap(), self.dir.path().join("compilations"));
        self.script(&format!(
            "echo $1 >> {}\n{COMPONENT_VAR}=$3 {OUT_VAR}=$5 exec {} --exact registry::tests::compiling_child",
            log.display(),
            me.display()
        ))
    }

    fn compilations(&self) -> usize {
        let log = std::fs::read_to_string(self.dir.path().join("compilations")).unwrap_or_default();
        assert!(log.lines().all(|line| line == compile::SUBCOMMAND), "{log}");
        log.lines().count()
    }

    fn cache_dir(&self) -> PathBuf {
        self.dir.path().join("cache")
    }

    fn open(&self, exe: PathBuf) -> Registry {
        let (clock, _) = Clock::manual(1_000);
        let options =
            Options { cache_dir: self.cache_dir(), exe, compile_cpu: Duration::from_secs(360), clock };
        Registry::open(self.storage.clone(), engine(), options).unwrap()
    }
}

fn module() -> Bytes {
    Guest::default().module()
}

fn other_module() -> Bytes {
    Guest { pages: 3, ..Guest::default() }.module()
}

fn name(name: &str) -> ModuleName {
    ModuleName::parse(name).unwrap()
}

fn files(dir: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    std::fs::read_dir(dir).unwrap().map(name).collect()
}

/// A new file in the place of another, which may still be mapped.
fn replace(path: &Path, bytes: &[u8]) {
    std::fs::remove_file(path).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn an_upload_is_compiled_listed_and_loaded() {
    let fixture = Fixture::new();
    let registry = fixture.open(fixture.compiler());
    let uploaded = registry.upload(&name("m"), None, module()).await.unwrap();
    let version = &uploaded.version;
    assert!(uploaded.created);
    assert_eq!((version.version.to_string().as_str(), version.kind), ("0.1.0", ModuleKind::Transform));
    assert_eq!((version.size, version.created_ms), (module().len() as u64, 1_000));
    assert!(version.compiled_size > 0);
    assert_eq!(registry.list(), std::slice::from_ref(version));
    assert_eq!(registry.resolve(&ModuleRef::parse("m").unwrap()).unwrap(), *version);
    assert_eq!(registry.bytes(version.digest).await.unwrap(), module());
    assert!(registry.wit(version.digest).await.unwrap().contains("millstream:functions/transform@0.1.0"));
    assert_eq!(registry.component(version.digest).await.unwrap().kind(), ModuleKind::Transform);
    assert_eq!(fixture.compilations(), 1);
    assert_eq!(std::fs::metadata(fixture.cache_dir()).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(files(&fixture.cache_dir()), [artifact::file_name(&engine(), &version.digest)]);
}

#[tokio::test]
async fn the_same_bytes_are_stored_once_and_versions_never_change() {
    let fixture = Fixture::new();
    let registry = fixture.open(fixture.compiler());
    let first = registry.upload(&name("m"), None, module()).await.unwrap().version;

    let again = registry.upload(&name("m"), None, module()).await.unwrap();
    assert_eq!((again.version, again.created), (first.clone(), false));
    let taken = registry.upload(&name("m"), Some(first.version.clone()), other_module()).await.unwrap_err();
    assert!(
        matches!(&taken, UploadError::VersionExists { digest, .. } if *digest == first.digest),
        "{taken}"
    );
    let next = registry.upload(&name("m"), None, other_module()).await.unwrap().version;
    assert_eq!(next.version.to_string(), "0.1.1");
    registry.upload(&name("n"), None, module()).await.unwrap();
    assert_eq!(fixture.compilations(), 2);
}

#[tokio::test]
async fn a_restart_finds_everything_and_compiles_nothing() {
    let fixture = Fixture::new();
    let digest =
        fixture.open(fixture.compiler()).upload(&name("m"), None, module()).await.unwrap().version.digest;
    let stale = fixture.cache_dir().join(format!("{}-0000000000000000.cwasm", digest.hex()));
    std::fs::write(&stale, "of another engine").unwrap();

    let registry = fixture.open(fixture.compiler());
    assert!(!stale.exists());
    registry.component(digest).await.unwrap();
    assert_eq!((registry.list().len(), fixture.compilations()), (1, 1));
}

#[tokio::test]
async fn a_garbled_or_missing_artifact_is_compiled_again() {
    let fixture = Fixture::new();
    let digest =
        fixture.open(fixture.compiler()).upload(&name("m"), None, module()).await.unwrap().version.digest;
    let path = fixture.cache_dir().join(artifact::file_name(&engine(), &digest));

    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    replace(&path, &bytes);
    fixture.open(fixture.compiler()).component(digest).await.unwrap();
    assert_eq!(fixture.compilations(), 2);

    replace(&path, &bytes[..100]);
    fixture.open(fixture.compiler()).component(digest).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    let registry = fixture.open(fixture.compiler());
    let (a, b) = tokio::join!(registry.component(digest), registry.component(digest));
    assert!(a.is_ok() && b.is_ok());
    assert_eq!(fixture.compilations(), 4, "callers share a compilation");
}

#[tokio::test]
async fn what_is_deleted_is_gone_from_storage_and_cache() {
    let fixture = Fixture::new();
    let registry = fixture.open(fixture.compiler());
    let digest = registry.upload(&name("m"), None, module()).await.unwrap().version.digest;
    registry.upload(&name("n"), None, module()).await.unwrap();

    registry.delete(&name("m"), None).await.unwrap();
    registry.component(digest).await.expect("the other module has the same bytes");
    let version = Version::parse("0.1.0").unwrap();
    assert_eq!(registry.delete(&name("n"), Some(version)).await.unwrap().len(), 1);
    assert!(matches!(registry.component(digest).await, Err(LoadError::Unknown { .. })));
    assert!(matches!(registry.bytes(digest).await, Err(LoadError::Unknown { .. })));
    assert_eq!((registry.list(), files(&fixture.cache_dir())), (vec![], vec![]));
    assert!(matches!(registry.delete(&name("n"), None).await, Err(DeleteError::Unknown(_))));
}

#[tokio::test]
async fn what_is_refused_leaves_nothing() {
    let fixture = Fixture::new();
    let registry = fixture.open(fixture.compiler());
    let invalid = registry.upload(&name("m"), None, Bytes::from_static(b"MZ")).await.unwrap_err();
    assert!(matches!(invalid, UploadError::Invalid(wasm::Invalid::NotWasm(_))), "{invalid}");
    let large = Bytes::from(vec![0; crate::model::limits::MODULE_BYTES_MAX + 1]);
    assert!(matches!(registry.upload(&name("m"), None, large).await, Err(UploadError::TooLarge { .. })));

    let failing = fixture.open(fixture.script("echo 'function body is invalid' >&2; exit 1"));
    let failed = failing.upload(&name("m"), None, module()).await.unwrap_err();
    assert_eq!(failed.to_string(), "compilation failed: function body is invalid");
    let killed = fixture.open(fixture.script("kill -XCPU $$"));
    let failed = killed.upload(&name("m"), None, module()).await.unwrap_err();
    assert_eq!(
        failed.to_string(),
        "compilation failed: it took more than 6m of CPU time (`limits.compile_cpu` in the server's settings)"
    );
    assert_eq!((registry.list(), files(&fixture.cache_dir())), (vec![], vec![]));
}

#[tokio::test]
async fn what_the_server_cannot_do_is_not_the_modules_fault() {
    let fixture = Fixture::new();
    let fails = async |exe| fixture.open(exe).upload(&name("m"), None, module()).await.unwrap_err();
    let full = format!("echo 'out: No space left on device' >&2; exit {}", compile::SERVERS_FAULT);
    let failed = fails(fixture.script(&full)).await;
    assert!(matches!(failed, UploadError::Compiler { .. }), "{failed}");
    assert_eq!(failed.to_string(), "the server cannot compile: out: No space left on device");
    let failed = fails(fixture.dir.path().join("no-compiler")).await;
    assert!(matches!(failed, UploadError::Compiler { .. }), "{failed}");
}

#[tokio::test]
async fn an_invalid_function_body_is_found_by_the_compiler() {
    let fixture = Fixture::new();
    let registry = fixture.open(fixture.compiler());
    let broken = Guest { rest: "(func (result i32) (i64.const 1))", ..Guest::default() }.module();
    let report = registry.validate(broken.clone()).await;
    let failed = registry.upload(&name("m"), None, broken).await.unwrap_err();
    assert!(report.is_err() || matches!(failed, UploadError::CompileFailed { .. }), "{failed}");
}

#[tokio::test]
async fn a_compiler_that_hangs_is_ended() {
    let fixture = Fixture::new();
    let pid = fixture.dir.path().join("pid");
    let exe = fixture.script(&format!("echo $$ > {}; exec sleep 1000", pid.display()));
    let compiler = Compiler::new(exe, Duration::from_secs(360)).with_time_max(Duration::from_millis(300));
    let out = fixture.dir.path().join("out.cwasm");
    let timeout = compiler.compile(&module(), &out).await.unwrap_err();
    assert!(matches!(timeout, UploadError::CompileTimeout { .. }), "{timeout}");
    let pid = std::fs::read_to_string(pid).unwrap();
    assert!(!Path::new(&format!("/proc/{}", pid.trim())).exists(), "the child is gone");
    assert_eq!(files(fixture.dir.path()).iter().filter(|f| f.ends_with(".partial")).count(), 0);
}

#[tokio::test]
async fn the_queue_of_compilations_is_bounded() {
    let fixture = Fixture::new();
    let compiler = Arc::new(Compiler::new(fixture.script("exec sleep 1000"), Duration::from_secs(360)));
    let out = fixture.dir.path().join("out.cwasm");
    let source = module();
    let mut waiting: Vec<_> = (0..8).map(|_| Box::pin(compiler.compile(&source, &out))).collect();
    for compile in &mut waiting {
        assert!(tokio::time::timeout(Duration::ZERO, compile).await.is_err());
    }
    assert!(matches!(compiler.compile(&source, &out).await, Err(UploadError::Busy)));
    drop(waiting);
}

#[tokio::test]
async fn an_upload_in_the_background_tells_how_it_ended() {
    let fixture = Fixture::new();
    let registry = fixture.open(fixture.compiler());
    let held = Arc::new(());
    let good = registry.start_upload(name("m"), None, module(), held.clone()).unwrap();
    let bad = registry.start_upload(name("n"), None, Bytes::from_static(b"MZ"), held.clone()).unwrap();
    let ended = async |id| loop {
        match registry.job(id).unwrap().state {
            JobState::Running => tokio::time::sleep(Duration::from_millis(5)).await,
            ended => return ended,
        }
    };
    assert!(matches!(ended(good).await, JobState::Done { uploaded, .. } if uploaded.created));
    assert!(matches!(ended(bad).await, JobState::Failed { .. }));
    assert_eq!(Arc::strong_count(&held), 1, "what keeps room for the bytes goes with the job");
    assert!(registry.job(JobId(99)).is_none());
}
