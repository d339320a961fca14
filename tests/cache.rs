//! The cache of onnxruntime: whatever is done to it, nothing is loaded from it but what was published, and it mends
//! itself. A script stands in for Python with pip: it hands out a wheel of the libraries that are in the real cache.
#![cfg(unix)]

mod common;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use assert_cmd::Command as Call;
use predicates::prelude::*;
use predicates::str::contains;
use secateur::Silent;
use secateur::runtime::{Package, cache_folder, install};
use tempfile::TempDir;

use common::{below, lenet, secateur};

/// The folder of the CPU package in a cache.
static PACKAGE: LazyLock<String> = LazyLock::new(|| {
    let (name, version) = Package::Cpu.requirement();
    format!("{name}-{version}")
});

/// The real package, and the name of the library that is loaded.
static REAL: LazyLock<(PathBuf, String)> = LazyLock::new(|| {
    let library = install(Package::Cpu, &mut Silent)
        .expect("onnxruntime")
        .path;
    let name = library.file_name().expect("a name").to_str().expect("text");
    let folder = library.parent().expect("a folder").to_owned();
    assert!(folder.starts_with(cache_folder().expect("a cache")));
    (folder, name.to_owned())
});

/// A cache with a copy of the package, and a `python3` that downloads nothing.
struct Cache {
    folder: TempDir,
    commands: TempDir,
}

impl Cache {
    fn new() -> Cache {
        let cache = Cache {
            folder: TempDir::new().expect("a folder"),
            commands: TempDir::new().expect("a folder"),
        };
        fs::create_dir(cache.package()).expect("a folder");
        for name in libraries() {
            fs::copy(REAL.0.join(&name), cache.package().join(&name)).expect("a copy");
        }
        cache.serve(|_, bytes| Some(bytes));
        cache
    }

    fn package(&self) -> PathBuf {
        self.folder.path().join(&*PACKAGE)
    }

    fn library(&self) -> PathBuf {
        self.package().join(&REAL.1)
    }

    /// Has the index serve a wheel with what `change` makes of each library.
    fn serve(&self, change: impl Fn(&str, Vec<u8>) -> Option<Vec<u8>>) {
        let wheel = self.commands.path().join("wheel");
        let mut zip = zip::ZipWriter::new(File::create(&wheel).expect("a file"));
        let options = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored);
        for name in libraries() {
            let bytes = fs::read(REAL.0.join(&name)).expect("a library");
            let Some(bytes) = change(&name, bytes) else {
                continue;
            };
            let inside = format!("onnxruntime/capi/{name}");
            zip.start_file(inside, options).expect("an entry");
            zip.write_all(&bytes).expect("bytes");
        }
        zip.start_file("../../escaped.so", options)
            .expect("an entry");
        zip.write_all(b"x").expect("bytes");
        zip.finish().expect("a zip");
        let script = format!(
            "#!/bin/sh\nset -e\n[ \"$1\" = -I ]\nwhile [ \"$1\" != --dest ]; do shift; done\n\
             touch \"$RUSTUP_HOME/settings.toml\"\necho run >> '{runs}'\ncp '{wheel}' \"$2/wheel.whl\"\n",
            runs = self.runs().display(),
            wheel = wheel.display(),
        );
        self.python(&script);
    }

    fn python(&self, script: &str) {
        let path = self.commands.path().join("python3");
        fs::write(&path, script).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("permissions");
    }

    fn runs(&self) -> PathBuf {
        self.commands.path().join("runs")
    }

    /// How often a wheel was handed out.
    fn downloads(&self) -> usize {
        fs::read_to_string(self.runs()).map_or(0, |text| text.lines().count())
    }

    fn call(&self, arguments: &[&str]) -> Call {
        let mut call = secateur();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut paths = vec![self.commands.path().to_owned()];
        paths.extend(std::env::split_paths(&path));
        call.args(arguments)
            .env_remove("ORT_DYLIB_PATH")
            .env("PATH", std::env::join_paths(paths).expect("a path"))
            .env("SECATEUR_CACHE", self.folder.path());
        call
    }

    fn prune(&self, out: &Path, flags: &[&str]) -> Call {
        let mut call = self.call(&["prune"]);
        call.arg(lenet()).arg("-o").arg(out).args(flags);
        call
    }

    /// That the cache holds the package as it was published, and nothing but it.
    fn assert_whole(&self, what: &str) {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.package()).expect("the package") {
            let name = entry.expect("an entry").file_name();
            names.push(name.into_string().expect("text"));
        }
        names.retain(|name| name != ".lock");
        names.sort();
        assert_eq!(names, libraries(), "{what}");
        for name in names {
            let path = self.package().join(&name);
            assert!(fs::symlink_metadata(&path).expect("a file").is_file());
            let same = fs::read(&path).expect("it") == fs::read(REAL.0.join(&name)).expect("it");
            assert!(same, "{what}: {name}");
        }
        assert!(!self.folder.path().join("escaped.so").exists());
    }
}

fn libraries() -> Vec<String> {
    let entries = fs::read_dir(&REAL.0).expect("the package").flatten();
    let names = entries.map(|entry| entry.file_name().into_string().expect("text"));
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    names
}

/// A way to damage a cache.
type Damage = (&'static str, fn(&Cache));

fn with_bytes(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("a library");
    change(&mut bytes);
    fs::write(path, bytes).expect("a library");
}

fn companion(cache: &Cache) -> PathBuf {
    let other = libraries().into_iter().find(|name| *name != REAL.1);
    cache.package().join(other.expect("a companion"))
}

const DAMAGES: [Damage; 9] = [
    ("empty", |cache| {
        fs::write(cache.library(), b"").expect("a file")
    }),
    ("cut short", |cache| {
        with_bytes(&cache.library(), |bytes| bytes.truncate(5 << 20));
    }),
    ("too long", |cache| {
        with_bytes(&cache.library(), |bytes| bytes.push(0));
    }),
    ("changed", |cache| {
        with_bytes(&cache.library(), |bytes| bytes[7 << 20] ^= 1);
    }),
    ("without its companion", |cache| {
        fs::remove_file(companion(cache)).expect("a companion");
    }),
    ("with a changed companion", |cache| {
        with_bytes(&companion(cache), |bytes| bytes[100] ^= 1);
    }),
    ("a folder", |cache| {
        fs::remove_file(cache.library()).expect("a library");
        fs::create_dir(cache.library()).expect("a folder");
        fs::write(cache.library().join("file"), b"x").expect("a file");
    }),
    ("a link to nothing", |cache| {
        fs::remove_file(cache.library()).expect("a library");
        symlink("nothing", cache.library()).expect("a link");
    }),
    ("a pipe", |cache| {
        fs::remove_file(cache.library()).expect("a library");
        let made = Command::new("mkfifo").arg(cache.library()).status();
        assert!(made.expect("mkfifo").success());
    }),
];

#[test]
fn a_damaged_library_is_never_loaded_and_is_repaired() {
    let cache = Cache::new();
    let out = cache.folder.path().join("out.onnx");
    for (what, damage) in DAMAGES {
        damage(&cache);
        let named = || contains("is damaged").and(contains("secateur runtime install cpu"));
        let offline = cache.prune(&out, &["--offline"]).assert();
        offline.code(4).stderr(named());
        cache
            .call(&["runtime", "status"])
            .assert()
            .code(4)
            .stderr(named());
        assert!(!out.exists() && cache.downloads() == 0, "{what}");
        // A command repairs it, and the one that installs does.
        for command in [cache.prune(&out, &[]), cache.call(&["runtime", "install"])] {
            let mut command = command;
            command.assert().success().stderr(contains("is damaged"));
            assert_eq!(cache.downloads(), 1, "{what}");
            cache.assert_whole(what);
            fs::remove_file(cache.runs()).expect("the runs");
            damage(&cache);
        }
        cache.call(&["runtime", "install"]).assert().success();
        fs::remove_file(cache.runs()).expect("the runs");
        fs::remove_file(&out).expect("the model");
    }
}

#[test]
fn a_sound_cache_is_left_alone() {
    let cache = Cache::new();
    let out = cache.folder.path().join("out.onnx");
    cache.python("#!/bin/sh\nexit 1\n");
    for flags in [&["--offline"][..], &[]] {
        let repaired = contains("damaged").not().and(contains("installing").not());
        cache.prune(&out, flags).assert().success().stderr(repaired);
    }
    cache.call(&["runtime", "install"]).assert().success();
}

#[test]
fn an_installation_leaves_the_package_alone() {
    let cache = Cache::new();
    fs::remove_dir_all(cache.package()).expect("the package");
    let elsewhere = TempDir::new().expect("a folder");
    let mut call = cache.call(&["runtime", "install"]);
    for name in ["HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "TMPDIR"] {
        call.env(name, elsewhere.path());
    }
    call.env_remove("CI").assert().success();
    assert_eq!(below(elsewhere.path()), [] as [&Path; 0]);
    cache.assert_whole("fresh");
}

#[test]
fn an_installation_that_was_ended_is_taken_up_again() {
    let cache = Cache::new();
    // Only the companion had been moved, and a folder stayed.
    fs::remove_file(cache.library()).expect("a library");
    let left = cache.package().join(".installing-x");
    fs::create_dir(&left).expect("a folder");
    fs::write(left.join("wheel.whl"), b"half of it").expect("a file");
    cache.call(&["runtime", "install"]).assert().success();
    cache.assert_whole("ended");
}

#[test]
fn a_wheel_with_other_libraries_is_refused() {
    type Change = fn(&str, Vec<u8>) -> Option<Vec<u8>>;
    let changes: [(&str, Change); 4] = [
        ("were published", |_, bytes| Some(bytes[..9].to_vec())),
        ("were published", |_, mut bytes| {
            bytes.resize(bytes.len() + (64 << 20), 0);
            Some(bytes)
        }),
        ("bytes are others", |_, mut bytes| {
            bytes[50] ^= 1;
            Some(bytes)
        }),
        ("not found", |name, bytes| (name != REAL.1).then_some(bytes)),
    ];
    for (reason, change) in changes {
        let cache = Cache::new();
        fs::write(cache.library(), b"").expect("a file");
        cache.serve(change);
        let refused = cache.call(&["runtime", "install"]).assert();
        refused.code(4).stderr(contains(reason));
        // Nothing of the wheel stays.
        assert_eq!(fs::read(cache.library()).expect("the file"), b"");
        let names = fs::read_dir(cache.package()).expect("the package").count();
        assert_eq!(names, libraries().len() + 1, "the lock and what was there");
    }
    let cache = Cache::new();
    fs::write(cache.library(), b"").expect("a file");
    fs::write(cache.commands.path().join("wheel"), b"no zip").expect("a file");
    let refused = cache.call(&["runtime", "install"]).assert();
    refused.code(4).stderr(contains("it is no zip"));
}

#[test]
fn a_repair_that_fails_says_what_to_do() {
    let cache = Cache::new();
    let out = cache.folder.path().join("out.onnx");
    fs::write(cache.library(), b"").expect("a file");
    for name in ["python3", "python", "py"] {
        cache.python("#!/bin/sh\necho 'ERROR: no index' >&2\nexit 1\n");
        let there = cache.commands.path().join("python3");
        fs::copy(&there, cache.commands.path().join(name)).ok();
    }
    let failed = cache.prune(&out, &[]).assert().code(4);
    failed.stderr(contains("is damaged").and(contains("ERROR: no index")));
    assert!(!out.exists());
}

#[test]
fn installations_at_once_do_not_mix() {
    let cache = Cache::new();
    fs::remove_dir_all(cache.package()).expect("the package");
    let calls: Vec<_> = (0..6)
        .map(|_| {
            let mut call = cache.call(&["runtime", "install"]);
            std::thread::spawn(move || call.output().expect("it runs").status.code())
        })
        .collect();
    for call in calls {
        assert_eq!(call.join().expect("no panic"), Some(0));
    }
    assert_eq!(cache.downloads(), 1);
    cache.assert_whole("at once");
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let cache = Cache::new();
    let file = cache.folder.path().join("file");
    fs::write(&file, b"x").expect("a file");
    for place in [file.clone(), file.join("inside")] {
        let mut call = cache.call(&["runtime", "install"]);
        let refused = call.env("SECATEUR_CACHE", &place).assert().code(4);
        let named = contains(file.to_str().expect("text").to_owned());
        refused.stderr(
            named
                .and(contains("cannot be written"))
                .and(contains("SECATEUR_CACHE")),
        );
    }
    assert_eq!(fs::read(&file).expect("the file"), b"x");
    assert_eq!(cache.downloads(), 0);
}

#[test]
fn a_cache_may_be_named_from_where_one_is() {
    let cache = Cache::new();
    let folder = TempDir::new().expect("a folder");
    let mut call = cache.call(&["runtime", "install"]);
    call.current_dir(folder.path())
        .env("SECATEUR_CACHE", "here");
    call.assert().success();
    let there = folder.path().join("here").join(&*PACKAGE).join(&REAL.1);
    assert!(there.is_file());
}

/// What is known of it is what its own tables say.
#[cfg(target_os = "linux")]
#[test]
fn a_named_library_that_was_cut_short_is_not_loaded() {
    let cache = Cache::new();
    let library = cache.folder.path().join("libonnxruntime.so");
    let whole = fs::read(REAL.0.join(&REAL.1)).expect("a library");
    for length in [100, 5 << 20, whole.len() - 1] {
        fs::write(&library, &whole[..length]).expect("a file");
        let named = || contains("was cut short").and(contains("libonnxruntime.so"));
        let mut given = cache.call(&["runtime", "status", "--onnxruntime"]);
        given.arg(&library).assert().code(4).stderr(named());
        let mut by_variable = cache.call(&["runtime", "status"]);
        by_variable.env("ORT_DYLIB_PATH", &library);
        by_variable.assert().code(4).stderr(named());
    }
    // A name alone is a file of the working directory.
    fs::write(&library, &whole).expect("a file");
    let mut given = cache.call(&["runtime", "status", "--onnxruntime", "libonnxruntime.so"]);
    given.current_dir(cache.folder.path());
    given.assert().success().stdout(contains("version: 1."));
}
