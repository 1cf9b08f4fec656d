// SPDX-License-Identifier: MIT OR Apache-2.0
//! The user's program (`--exec`): packed for the guest, and the only scenario of the matrix.

use anyhow::Context as _;
use protocol::CgroupVersion;

use crate::cli::{Cgroup, ExecArgs};
use crate::config::{self, Config, Load};
use crate::host::digest::{hex, sha256_of_parts};
use crate::host::file::write_whole;
use crate::progress::note;
use crate::results::RunFolder;
use crate::vm::exec::{self, Packed};

/// Packs the program, if one is named, and makes it the only scenario of `matrix`.
///
/// # Errors
/// As [`exec::pack`]; a wrong `--limit` or `--policy`.
pub(super) fn configured(
    config: &mut Config,
    args: &ExecArgs,
    matrix: &str,
    install: bool,
) -> anyhow::Result<Option<Packed>> {
    let ExecArgs { exec, exec_args, with, limit, .. } = args;
    if exec.is_empty() {
        return Ok(None);
    }
    let limit_bytes = config::limit_bytes(limit)?;
    let packed = exec::pack(&[exec.as_slice(), exec_args].concat(), with, install)?;
    note(&format!("program: {}, {} files in the guest", packed.title, packed.tree.len()));
    let load = load(args, &packed, limit_bytes);
    config.add_program(load, matrix)?;
    Ok(Some(packed))
}

/// The load. Whatever makes another load of it is in its name, so that neither a comparison of two
/// runs nor a trend takes one for the other.
fn load(args: &ExecArgs, packed: &Packed, limit_bytes: u64) -> Load {
    let &ExecArgs { hog, unkillable, time_out, .. } = args;
    let numbers = format!("{limit_bytes} {hog} {unkillable} {time_out}");
    let words = packed.request.argv.iter().chain(&packed.request.env);
    let parts = words.chain([&packed.request.files_sha256, &numbers]).map(String::as_bytes);
    let id = hex(&sha256_of_parts(parts));
    Load {
        name: format!("{}-{}", packed.name, &id[..8]),
        title: packed.title.clone(),
        request: packed.request.clone(),
        limit_bytes,
        hog,
        killable: !unkillable,
        cgroup: match args.cgroup {
            Cgroup::V1 => CgroupVersion::V1,
            Cgroup::V2 => CgroupVersion::V2,
        },
        policies: args.policies.clone(),
        time_out_ms: time_out * 1000,
    }
}

/// Copies the program into the run folder: the file may be another one tomorrow.
///
/// # Errors
/// I/O errors, with the path.
pub(super) fn keep(packed: &Packed, folder: &RunFolder) -> anyhow::Result<()> {
    let place = folder.dir().join("exec");
    std::fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    let (name, bytes) = &packed.original;
    write_whole(&place.join(name), bytes)
}
