// SPDX-License-Identifier: MIT OR Apache-2.0
//! The room as a whole, on a "kernel" that builds in a blink: real tar, patch, make, locks and
//! cache.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::*;
use crate::config::Kernel;
use crate::exit::{Exit, fault_of};

/// Compiles `mm/*.c` by copying, packs by joining; `CONFIG_WRITE_BACK` spoils a source in place.
const MAKEFILE: &str = "VERSION = 6
PATCHLEVEL = 12
SUBLEVEL = 1
objects := $(patsubst %.c,%.o,$(wildcard mm/*.c))
.PHONY: tinyconfig olddefconfig bzImage
tinyconfig: ; @echo '# CONFIG_A is not set' > $(KCONFIG_CONFIG)
olddefconfig: ; @true
%.o: %.c ; @echo '  CC      $@'; if grep -q BROKEN $<; then echo '$<:1:1: error: broken'; exit 1; fi; cp $< $@; chmod u+w $@
bzImage: $(objects)
\t@echo '  LD      vmlinux'; cat $(objects) > vmlinux; echo map > System.map
\t@if grep -q WRITE_BACK .config; then chmod u+w mm/b.c; echo x >> mm/b.c; fi
\t@sleep $${SLEEP:-0}; mkdir -p arch/x86/boot; cp vmlinux arch/x86/boot/bzImage
";

struct Lab {
    dir: tempfile::TempDir,
    cache: Cache,
    toolchain: Toolchain,
    located: Located,
}

impl Lab {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("linux");
        fs::create_dir(&tree).unwrap();
        pristine::tests::fake_kernel(&tree);
        fs::write(tree.join("Makefile"), MAKEFILE).unwrap();
        let work = dir.path().join("work");
        fs::create_dir_all(work.join("fragments")).unwrap();
        fs::create_dir_all(work.join("series")).unwrap();
        fs::write(work.join("fragments/boot.config"), "CONFIG_A=y\n").unwrap();
        let cache = Cache::open(&dir.path().join("cache")).unwrap();
        let located = Spec::Local { given: tree.display().to_string() }.locate(&cache).unwrap();
        let toolchain = Toolchain::find(&cache).unwrap();
        Self { dir, cache, toolchain, located }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join("work").join(name), text).unwrap();
    }

    fn patch(&self, text: &str) {
        self.write("series/1.patch", text);
        self.write("series/series", "1.patch\n");
    }

    fn image(&self, kernel: &Kernel) -> anyhow::Result<Image> {
        let work = self.dir.path().join("work");
        let site = Site {
            cache: &self.cache,
            workspace: &work,
            fragments: &work.join("fragments"),
            toolchain: &self.toolchain,
            jobs: 2,
            steps: false,
        };
        site.image(kernel, &self.located)
    }

    fn tree(&self, kernel: &Kernel) -> PathBuf {
        self.cache.trees.join(format!("{}.{}", kernel.tree, self.located.slot)).join("tree")
    }
}

fn kernel(name: &str, series: Option<&str>, tree: &str) -> Kernel {
    Kernel {
        name: name.into(),
        base: "6.12".into(),
        series: series.map(PathBuf::from),
        extra_patches: vec![],
        tree: tree.into(),
        fragments: vec!["boot".into()],
        fuzz: false,
        user_fragments: Vec::new(),
        gone: vec![],
        policies: vec![],
        counters_file: None,
        cap_file: None,
        cmdline: vec![],
        compiler: crate::config::Compiler::Gcc,
        slowdown: 1,
    }
}

fn change(file: &str, old: &str, new: &str) -> String {
    format!("--- a/{file}\n+++ b/{file}\n@@ -1 +1 @@\n-{old}\n+{new}\n")
}

fn read(path: PathBuf) -> String {
    fs::read_to_string(path).unwrap()
}

fn modified(path: PathBuf) -> std::time::SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

#[test]
fn a_kernel_is_built_once_and_again_when_something_changed() {
    let lab = Lab::new();
    let baseline = kernel("baseline", None, "baseline");
    let first = lab.image(&baseline).unwrap();
    assert!(!first.hit);
    assert_eq!(read(first.bz_image()), "1\n2\n3\nb\n");
    assert_eq!(read(first.dir.join("config")), "CONFIG_A=y\n");
    assert!(read(first.dir.join("build.log")).contains("LD      vmlinux"));
    let again = lab.image(&baseline).unwrap();
    assert!(again.hit && again.key == first.key && again.bz_image() == first.bz_image());
    lab.write("fragments/boot.config", "# now with a comment\nCONFIG_A=y\n");
    assert!(lab.image(&baseline).unwrap().hit, "a comment is no change");
    lab.write("fragments/boot.config", "CONFIG_A=y\nCONFIG_B=y\n");
    assert!(!lab.image(&baseline).unwrap().hit);
}

#[test]
fn an_edited_patch_compiles_only_what_it_touches() {
    let lab = Lab::new();
    let patched = kernel("patched", Some("series"), "patched");
    lab.patch(&change("mm/b.c", "b", "B"));
    let first = lab.image(&patched).unwrap();
    assert_eq!(read(first.bz_image()), "1\n2\n3\nB\n");
    let object = |name: &str| modified(lab.tree(&patched).join(name));
    let before = (object("mm/a.o"), object("mm/b.o"));
    lab.patch(&change("mm/b.c", "b", "BB"));
    let second = lab.image(&patched).unwrap();
    assert_eq!(read(second.bz_image()), "1\n2\n3\nBB\n");
    assert_eq!(object("mm/a.o"), before.0, "compiled though nothing changed");
    assert!(object("mm/b.o") > before.1);
    lab.patch(&change("mm/b.c", "b", "B"));
    assert!(lab.image(&patched).unwrap().hit, "the old image is still there");
}

#[test]
fn a_mutant_shares_the_tree_and_leaves_nothing_behind() {
    let lab = Lab::new();
    lab.patch(&change("mm/b.c", "b", "B"));
    let patched = kernel("patched", Some("series"), "patched");
    let mut mutant = kernel("mutant", Some("series"), "patched");
    mutant.extra_patches = vec!["series/mutant.patch".into()];
    lab.write("series/mutant.patch", &change("mm/b.c", "B", "bug"));
    assert_eq!(read(lab.image(&mutant).unwrap().bz_image()), "1\n2\n3\nbug\n");
    assert_eq!(read(lab.image(&patched).unwrap().bz_image()), "1\n2\n3\nB\n");
    assert_eq!(fs::read_dir(&lab.cache.trees).unwrap().count(), 1);
}

#[test]
fn a_series_that_does_not_apply_changes_no_tree_and_makes_no_image() {
    let lab = Lab::new();
    let patched = kernel("patched", Some("series"), "patched");
    lab.patch(&change("mm/b.c", "b", "B"));
    lab.image(&patched).unwrap();
    // The first file applies, the second does not.
    lab.patch(&(change("mm/b.c", "b", "half") + &change("mm/a.c", "not there", "x")));
    let error = lab.image(&patched).unwrap_err();
    assert_eq!(fault_of(&error).unwrap().exit, Exit::Series);
    assert!(format!("{error:#}").contains("mm/a.c: hunk 1 fails"), "{error:#}");
    assert_eq!(read(lab.tree(&patched).join("mm/b.c")), "B\n");
    assert_eq!(fs::read_dir(&lab.cache.images).unwrap().count(), 1);
}

#[test]
fn a_hunk_that_needs_fuzz_is_refused_also_when_the_image_is_cached() {
    let lab = Lab::new();
    let strict = kernel("patched", Some("series"), "patched");
    let lenient = Kernel { fuzz: true, ..strict.clone() };
    lab.patch("--- a/mm/a.c\n+++ b/mm/a.c\n@@ -1,3 +1,3 @@\n one\n-2\n+two\n 3\n");
    let refused = || {
        let error = lab.image(&strict).unwrap_err();
        let fault = fault_of(&error).unwrap();
        assert_eq!(fault.exit, Exit::Series);
        assert!(fault.what.contains("mm/a.c: hunk 1 applies only with fuzz 1"), "{}", fault.what);
    };
    refused();
    let image = lab.image(&lenient).unwrap();
    assert_eq!(image.manifest.fuzz.as_ref().map(Vec::len), Some(1));
    assert!(lab.image(&lenient).unwrap().hit);
    refused();
    // An image of a harness that did not ask is built again.
    let file = image.dir.join("manifest.json");
    let old = serde_json::json!(["1.patch: mm/a.c: hunk 1 applied at line 1 with fuzz 1"]);
    let mut manifest: serde_json::Value = serde_json::from_str(&read(file.clone())).unwrap();
    manifest.as_object_mut().unwrap().remove("fuzz");
    manifest["notes"] = old;
    fs::write(&file, manifest.to_string()).unwrap();
    refused();
}

#[test]
fn a_build_that_fails_says_why_and_the_next_one_works() {
    let lab = Lab::new();
    let patched = kernel("patched", Some("series"), "patched");
    lab.patch(&change("mm/b.c", "b", "BROKEN"));
    let error = lab.image(&patched).unwrap_err();
    let fault = fault_of(&error).unwrap();
    assert_eq!(fault.exit, Exit::Build);
    assert!(fault.what.contains("mm/b.c:1:1: error: broken"), "{}", fault.what);
    lab.patch(&change("mm/b.c", "b", "mended"));
    assert_eq!(read(lab.image(&patched).unwrap().bz_image()), "1\n2\n3\nmended\n");
}

#[test]
fn a_build_that_writes_through_a_hard_link_is_caught_and_undone() {
    let lab = Lab::new();
    let baseline = kernel("baseline", None, "baseline");
    lab.image(&baseline).unwrap();
    lab.write("fragments/boot.config", "CONFIG_WRITE_BACK=y\n");
    let error = lab.image(&baseline).unwrap_err();
    assert!(
        error.root_cause().to_string().contains("writes into its own source files: mm/b.c"),
        "{error:#}"
    );
    lab.write("fragments/boot.config", "CONFIG_C=y\n");
    assert_eq!(
        read(lab.image(&baseline).unwrap().bz_image()),
        "1\n2\n3\nb\n",
        "the spoilt source was used"
    );
}

#[test]
fn a_source_that_was_damaged_in_the_cache_is_unpacked_again_with_its_trees() {
    let lab = Lab::new();
    let baseline = kernel("baseline", None, "baseline");
    lab.image(&baseline).unwrap();
    let home = lab.cache.sources.join(&lab.located.id);
    let spoil: [&dyn Fn(); 5] = [
        &|| {
            let file = home.join("tree/mm/b.c");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
            fs::write(file, "spoilt\n").unwrap();
        },
        &|| fs::remove_file(home.join("tree/mm/a.c")).unwrap(),
        &|| fs::write(home.join("files"), "nonsense\n").unwrap(),
        &|| fs::remove_file(home.join("origin")).unwrap(),
        &|| {
            fs::remove_file(home.join("origin")).unwrap();
            nix::unistd::mkfifo(&home.join("origin"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        },
    ];
    for (number, spoil) in spoil.iter().enumerate() {
        spoil();
        fs::remove_dir_all(&lab.cache.images).unwrap();
        fs::create_dir(&lab.cache.images).unwrap();
        let image = lab.image(&baseline).unwrap_or_else(|error| panic!("{number}: {error:#}"));
        assert_eq!(read(image.bz_image()), "1\n2\n3\nb\n", "{number}");
    }
}

#[test]
fn two_commands_for_one_kernel_build_it_once() {
    let lab = Lab::new();
    let baseline = kernel("baseline", None, "baseline");
    let hits: Vec<bool> = std::thread::scope(|scope| {
        let builders: Vec<_> =
            (0..2).map(|_| scope.spawn(|| lab.image(&baseline).unwrap())).collect();
        builders.into_iter().map(|builder| builder.join().unwrap().bz_image().exists()).collect()
    });
    assert_eq!(hits, [true, true]);
    let log =
        read(lab.cache.trees.join(format!("baseline.{}", lab.located.slot)).join("build.log"));
    assert_eq!(log.matches("CC      mm/a.o").count(), 1, "the second built too: {log}");
}

#[test]
fn a_cache_without_the_source_answers_a_hit() {
    let lab = Lab::new();
    let baseline = kernel("baseline", None, "baseline");
    lab.image(&baseline).unwrap();
    for room in [&lab.cache.sources, &lab.cache.trees] {
        fs::remove_dir_all(room).unwrap();
        fs::create_dir(room).unwrap();
    }
    assert!(lab.image(&baseline).unwrap().hit);
    assert!(!lab.cache.sources.join(&lab.located.id).exists());
}

#[test]
fn a_symbol_called_gone_is_left_out_and_must_not_be_there() {
    let lab = Lab::new();
    let gone = |place: &str| crate::config::Gone {
        symbol: "CONFIG_A".into(),
        instead: Some(("CONFIG_Z".into(), "y".into())),
        place: place.into(),
    };
    let mut patched = kernel("patched", Some("series"), "patched");
    patched.gone = vec![gone("configs/bases/x.toml:3")];
    lab.patch(&change("mm/b.c", "b", "B"));
    let image = lab.image(&patched).unwrap();
    assert_eq!(read(image.dir.join("config")), "# CONFIG_A is not set\nCONFIG_Z=y\n");
    lab.patch(
        "--- a/Kconfig\n+++ b/Kconfig\n@@ -1 +1,3 @@\n mainmenu \"x\"\n+config A\n+\tbool \"a\"\n",
    );
    let error = lab.image(&patched).unwrap_err();
    assert!(
        format!("{error:#}").contains(
            "configs/bases/x.toml:3: CONFIG_A is not gone, this kernel has it (Kconfig:2)"
        ),
        "{error:#}"
    );
}

#[test]
fn a_fragment_that_is_missing_is_named() {
    let lab = Lab::new();
    let mut baseline = kernel("baseline", None, "baseline");
    baseline.fragments = vec!["nope".into()];
    let error = lab.image(&baseline).unwrap_err();
    assert_eq!(fault_of(&error).unwrap().exit, Exit::Usage);
    assert!(
        error
            .to_string()
            .contains(&Path::new("fragments").join("nope.config").display().to_string()),
        "{error}"
    );
}

#[test]
fn an_own_fragment_is_for_both_as_far_as_the_unpatched_kernel_has_it() {
    let lab = Lab::new();
    lab.write("own.config", "CONFIG_A=y\nCONFIG_MINE=y\n");
    let own = |mut kernel: Kernel| {
        kernel.user_fragments = vec![lab.dir.path().join("work/own.config")];
        kernel
    };
    let image = lab.image(&own(kernel("baseline", None, "series"))).unwrap();
    assert_eq!(read(image.dir.join("config")), "CONFIG_A=y\n");
    // Not a word of the patch brings the symbol: whoever wrote the fragment has mistyped it, and is
    // told.
    lab.patch(&change("mm/b.c", "b", "B"));
    let image = lab.image(&own(kernel("series", Some("series"), "series"))).unwrap();
    assert_eq!(read(image.dir.join("config")), "CONFIG_A=y\nCONFIG_MINE=y\n", "it was asked for");
    lab.write("own.config", "CONFIG_A=n\n");
    let error = lab.image(&own(kernel("baseline", None, "series"))).unwrap_err();
    assert!(
        error.to_string().contains("own.config:1: wants CONFIG_A=n, but boot.config:1"),
        "{error}"
    );
}

#[test]
fn a_file_that_is_not_compiled_is_told() {
    let lab = Lab::new();
    let patched = kernel("patched", Some("series"), "patched");
    let new = "--- /dev/null\n+++ b/fs/new.c\n@@ -0,0 +1 @@\n+new\n";
    lab.patch(&format!("{}{new}", change("mm/b.c", "b", "B")));
    let notes = lab.image(&patched).unwrap().manifest.notes;
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].starts_with("fs/new.c is not compiled in this configuration"), "{notes:?}");
    assert_eq!(lab.image(&patched).unwrap().manifest.notes, notes, "also of one from the cache");
}

#[test]
fn a_series_goes_out_with_a_letter_and_the_sign_off_of_whoever_sends_it() {
    let lab = Lab::new();
    let mail = |number: u32, subject: &str, diff: &str| {
        format!(
            "From 1234 Mon Sep 17 00:00:00 2001\nFrom: Nobody <nobody@example.org>\nDate: Sun, 1 Feb \
             2026 12:00:00 +0000\nSubject: [PATCH {number}/2] {subject}\n\nWhy.\n\nLink: \
             https://example.org/1\n---\n{diff}"
        )
    };
    lab.write("series/1.patch", &mail(1, "mm: change b", &change("mm/b.c", "b", "B")));
    let new = "--- /dev/null\n+++ b/mm/new.c\n@@ -0,0 +1 @@\n+new\n";
    lab.write("series/2.patch", &mail(2, "mm: add new", new));
    lab.write("series/series", "1.patch\n2.patch\n");
    let work = lab.dir.path().join("work");
    let patched = kernel("patched", Some("series"), "patched");
    let steps = steps::Steps::read(&lab.cache, &work, &patched, &lab.located).unwrap();
    let [name, email] = ["A Developer", "dev@example.org"].map(str::to_owned);
    let sending = outgoing::Sending {
        letter: "mm: two changes\n\nBoth are needed.",
        submitter: &outgoing::Submitter { name, email },
        trailers: &["Tested-on: a VM".to_owned()],
        version: 2,
    };
    let out = lab.dir.path().join("out");
    outgoing::write(&steps, &sending, &out).unwrap();
    let mails = ["v2-0000-cover-letter", "v2-0001-mm-change-b", "v2-0002-mm-add-new"];
    let [letter, first, second] = mails.map(|name| read(out.join(format!("{name}.patch"))));
    for (mail, begins) in [
        (
            &letter,
            "Subject: [PATCH v2 0/2] mm: two changes\n\nBoth are needed.\n\nA Developer (2):\n",
        ),
        (&letter, " mm/new.c | 1 +\n 2 files changed, 2 insertions(+), 1 deletion(-)\n"),
        (&first, "From: A Developer <dev@example.org>\n"),
        (
            &first,
            "Link: https://example.org/1\nSigned-off-by: A Developer <dev@example.org>\nTested-on: a VM\n---\n",
        ),
        (&second, "Subject: [PATCH v2 2/2] mm: add new\n"),
    ] {
        assert!(mail.contains(begins), "{begins}in\n{mail}");
    }
    assert!(![letter, first, second].concat().contains("Nobody"));
}
