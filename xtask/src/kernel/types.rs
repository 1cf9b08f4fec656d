// SPDX-License-Identifier: MIT OR Apache-2.0
//! The types of a kernel, for drgn: kernels are built with `CONFIG_DEBUG_INFO_REDUCED`, which has
//! lines and functions but few structures.
//!
//! Contract: one file more is compiled in the work tree, with the config and the flags of the image
//! but full debug information. It is one file because drgn completes a type only if exactly one is
//! complete. The result is `types.o` in the folder of the image, which stays as it is.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;

use super::build::Site;
use super::cache;
use super::source::Located;
use crate::config::{Compiler, Kernel};
use crate::exit::{Exit, Fault};
use crate::host::file::write_whole;
use crate::progress::Step;

/// Its name in the folder of an image.
const TYPES: &str = "types.o";
/// The file that is compiled, in the work tree and without its ending.
const UNIT: &str = "mm/memcg_harness_types";
/// What drgn's helpers and ours need. Structures of a series are in its own C files.
const CODE: &str = "\
#include \"memcontrol.c\"
#if __has_include(\"memcg_overcharge_glue.c\")
#include \"memcg_overcharge_glue.c\"
#endif
#include \"../kernel/sched/sched.h\"
#include \"../fs/kernfs/kernfs-internal.h\"
#include <linux/pid_namespace.h>
";

impl Site<'_> {
    /// The types of this kernel's image, which is in the cache.
    ///
    /// # Errors
    /// As [`Site::image`]; [`Exit::Usage`] if another image would be built here.
    pub(crate) fn types(
        &self,
        kernel: &Kernel,
        located: &Located,
        key: &str,
    ) -> anyhow::Result<PathBuf> {
        let types = self.cache.images.join(key).join(TYPES);
        if types.exists() {
            return Ok(types);
        }
        if self.key(kernel, located)? != key {
            let what = format!("source, series, config or tools of {} have changed", kernel.name);
            let hint = "drgn needs types of the very kernel that ran: check that version out";
            return Err(Fault::new(Exit::Usage, what).hint(hint).into());
        }
        let step = Step::begin(format!("types of {}", kernel.name), None);
        self.in_tree(kernel, located, |make| {
            let at = |ending: &str| make.dir.join(format!("{UNIT}.{ending}"));
            write_whole(&at("c"), CODE.as_bytes())?;
            let full = match kernel.compiler {
                Compiler::Gcc => "-femit-struct-debug-detailed=any -fvar-tracking",
                Compiler::Clang => "-fstandalone-debug",
            };
            let name = UNIT.rsplit('/').next().unwrap_or(UNIT);
            let flags =
                format!("CFLAGS_{name}.o=-w -Wno-error -fno-eliminate-unused-debug-types {full}");
            let made = make.run(&[&format!("{UNIT}.o"), &flags]);
            let kept = made.and_then(|()| {
                let scratch = cache::scratch(&types)?;
                let copy = scratch.path().join(TYPES);
                fs::copy(at("o"), &copy).context("copying the types")?;
                fs::rename(&copy, &types).context("keeping the types")
            });
            for ending in ["c", "o"] {
                let _ = fs::remove_file(at(ending));
            }
            kept
        })?;
        step.end("compiled");
        Ok(types)
    }
}
