// SPDX-License-Identifier: MIT OR Apache-2.0
//! Makes the table of workloads from what is in `src/scenarios/`: `WORKLOADS` of every file there.

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=src/scenarios");
    let mut families = Vec::new();
    for file in fs::read_dir("src/scenarios")? {
        let name = file?.file_name().to_string_lossy().into_owned();
        families.extend(name.strip_suffix(".rs").filter(|stem| *stem != "mod").map(str::to_owned));
    }
    families.sort();
    let table: String =
        families.iter().map(|family| format!("    {family}::WORKLOADS,\n")).collect();
    let folder = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo sets OUT_DIR"))?;
    fs::write(Path::new(&folder).join("families.rs"), format!("&[\n{table}]\n"))
}
