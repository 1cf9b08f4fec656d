// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hand-made runs, for the tests of everything that reads results.

use serde_json::json;

use super::{Bench, OPEN};
use crate::evidence::Seen;
use crate::outcome::{
    Attempt, CellResult, Host, KernelNote, Manifest, RunResult, SCHEMA_VERSION, Totals,
};
use crate::taxonomy::Verdict;
use crate::verdict::{Judged, compare};

pub(crate) fn cell(bench: &Bench) -> CellResult {
    let folder = format!("cells/{}/attempt-1", bench.cell.id);
    let first = Attempt::of(folder, &Seen::of(&bench.evidence), bench.judge());
    let mut cell = bench.cell.clone();
    cell.note.title = "open() at the limit".to_owned();
    cell.note.about = "About it.".to_owned();
    cell.note.measures = vec!["load.ms".into(), "open.max_us".into()];
    CellResult { cell, first, again: None }
}

/// A baseline that loses 50 opens, as expected, and a patched kernel that loses none.
pub(crate) fn benches() -> [Bench; 2] {
    let mut baseline = Bench::mainline().set(OPEN, "/succeeded", 950).set(
        OPEN,
        "/errnos",
        json!({ "ENOMEM": 50 }),
    );
    baseline.cell.expect.verdict = Verdict::Fail;
    baseline.cell.expect.breaks = vec!["I1".into()];
    [baseline, Bench::overcharge()]
}

pub(crate) fn result(cells: Vec<CellResult>) -> RunResult {
    let kernel = KernelNote {
        source: "linux-source-6.12 6.12.117-1~deb12u1".to_owned(),
        key: "k".to_owned(),
        image_sha256: "0".repeat(64),
        fuzz: Vec::new(),
        patches: Vec::new(),
        toolchain: "gcc 12.2.0, rustc 1.96.0".to_owned(),
        source_id: Some("deb-e849".to_owned()),
        version: Some("6.12.117".to_owned()),
        git_commit: None,
        patchset_hash: Some(String::new()),
        fragments: vec!["boot".to_owned(), "memcg".to_owned()],
    };
    let judged: Vec<Judged<'_>> =
        cells.iter().map(|cell| Judged { cell: &cell.cell, judgement: cell.judgement() }).collect();
    let comparisons = compare("open", "baseline", &judged);
    RunResult {
        schema_version: SCHEMA_VERSION,
        run: "2026-01-31T04-00-00Z".to_owned(),
        manifest: Manifest {
            harness: "0.1.0".to_owned(),
            nonce: "n".to_owned(),
            command: vec!["cargo".to_owned(), "xtask".to_owned(), "run-matrix".to_owned()],
            started_at: "2026-01-31T04:00:00Z".to_owned(),
            duration_ms: 41_000,
            matrix: "default".to_owned(),
            baseline: Some("baseline".to_owned()),
            seed: 1,
            jobs: 2,
            interrupted: false,
            night: false,
            narrowed: Vec::new(),
            parts: Vec::new(),
            missing_parts: Vec::new(),
            steal_percent: None,
            accelerator: "tcg".to_owned(),
            slowdown: 4,
            kvm: None,
            qemu: "QEMU emulator version 7.2.17".to_owned(),
            host: Host {
                system: "Linux 6.1.0".to_owned(),
                cpu_model: String::new(),
                microcode: String::new(),
                cpus: 2,
                memory_mib: 24_576,
                limits: Vec::new(),
            },
            guest_sha256: "1".repeat(64),
            kernels: [("baseline".to_owned(), kernel)].into(),
            reach: None,
            known_faults: Vec::new(),
        },
        totals: Totals::of(cells.len(), &cells, &comparisons),
        cells,
        comparisons,
    }
}
