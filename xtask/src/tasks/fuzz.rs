// SPDX-License-Identifier: MIT OR Apache-2.0
//! Files that people and other machines give to the harness, bent at random places: each is read or
//! refused, without a panic. `PROPTEST_CASES=100000` tries more.

use proptest::prelude::*;
use proptest::test_runner::Config as Cases;

use super::parts;
use crate::cli::Select;
use crate::config::{Config, Text, Texts};
use crate::kernel::{Cache, user_series};
use crate::outcome::RunResult;
use crate::plan::{Cell, Origin, Plan, Selection, divide, plan};
use crate::verdict::tests::run;

const MAIL: &str = "From git@z Thu Jan  1 00:00:00 1970
From: A Person <a@example.org>
Subject: [PATCH v2 1/1] mm: memcg: one
Message-Id: <p1@example.org>
Content-Type: text/plain; charset=UTF-8
Content-Transfer-Encoding: quoted-printable

Other words=2E
---
 mm/a.c | 2 +-
 1 file changed, 1 insertion(+), 1 deletion(-)

diff --git a/mm/a.c b/mm/a.c
index 111111111111..222222222222 100644
--- a/mm/a.c
+++ b/mm/a.c
@@ -1,3 +1,3 @@ static int f(void)
 one
-two
+Two
 three
-- 
2.43.0

";

/// Bytes with pieces of them put elsewhere, cut out, repeated and replaced.
fn bent(bytes: &[u8], bends: &[(u8, usize, usize)]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (how, at, count) in bends {
        let from = at % (bytes.len() + 1);
        let to = bytes.len().min(from + count % 60);
        let piece = bytes[from..to].to_vec();
        match how {
            0 => drop(bytes.drain(from..to)),
            1 => drop(bytes.splice(from..from, piece)),
            2 => bytes.iter_mut().skip(from).take(1).for_each(|byte| *byte ^= *count as u8),
            3 => drop(bytes.splice(from..to, b"99999999999999999999".iter().copied())),
            _ => {
                let elsewhere = count * 7919 % (bytes.len() + 1);
                drop(bytes.splice(elsewhere..elsewhere, piece));
            }
        }
    }
    bytes
}

fn bends() -> impl Strategy<Value = Vec<(u8, usize, usize)>> {
    prop::collection::vec((0_u8..5, 0_usize..1_000_000, 0_usize..1000), 1..6)
}

fn text(name: &str, text: &str) -> Text {
    Text { name: name.to_owned(), path: format!("{name}.toml"), text: text.to_owned() }
}

proptest! {
    #![proptest_config(Cases { failure_persistence: None, ..Cases::default() })]

    #[test]
    fn a_bent_mail_is_read_or_refused(bends in bends(), parts in 1_usize..3) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("cache")).unwrap();
        let file = folder.path().join("x.mbx");
        std::fs::write(&file, bent(MAIL.repeat(parts).as_bytes(), &bends)).unwrap();
        if let Ok(series) = user_series::read(&cache, file.to_str().unwrap(), None) {
            prop_assert!(!series.patches.is_empty());
        }
    }

    #[test]
    fn a_bent_result_or_plan_is_read_or_refused(bends in bends()) {
        let ran = run::benches().each_ref().map(run::cell);
        let cells: Vec<Cell> = ran.iter().map(|ran| ran.cell.clone()).collect();
        let parts = divide(&cells, |_| 9000, 2).unwrap();
        let result = serde_json::to_vec(&run::result(ran.into())).unwrap();
        if let Ok(read) = serde_json::from_slice::<RunResult>(&bent(&result, &bends)) {
            let _ = read.check();
        }
        let origin = Origin {
            harness: "0.1.0".to_owned(),
            commit: None,
            sources_sha256: "s".to_owned(),
            configs_sha256: "c".to_owned(),
        };
        let select = Select { filter: Vec::new(), repetitions: None, confidence: None, seed: 1 };
        let plan = parts::of_matrix(origin, "m", &select, parts);
        let plan = bent(&serde_json::to_vec(&plan).unwrap(), &bends);
        if let Ok(plan) = serde_json::from_slice::<Plan>(&plan) {
            let _ = parts::check_version(&plan);
        }
    }

    #[test]
    fn bent_configs_are_read_or_refused_with_their_place(bends in bends(), which in 0_usize..4) {
        let mut texts = [
            include_str!("../../../configs/bases/6.12.toml"),
            include_str!("../../../configs/kernels/baseline.toml"),
            include_str!("../../../configs/scenarios/open-unkillable.toml"),
            "kernels = [\"baseline\"]\nscenarios = [\"open-unkillable\"]\n",
        ].map(str::to_owned);
        texts[which] = String::from_utf8_lossy(&bent(texts[which].as_bytes(), &bends)).into_owned();
        let [base, kernel, scenario, matrix] = &texts;
        let texts = Texts {
            bases: vec![text("6.12", base)],
            kernels: vec![text("baseline", kernel)],
            scenarios: vec![text("open-unkillable", scenario)],
            matrices: vec![text("m", matrix)],
            fragments: ["boot", "memcg", "workload", "faults", "lean", "trace", "rust"].map(str::to_owned).into(),
            rules: crate::verdict::invariants(),
            ..Texts::default()
        };
        match Config::read(&texts) {
            Ok(config) => drop(config.matrix("m").map(|m| plan(&config, m, &Selection::default()))),
            Err(fault) => prop_assert!(!fault.what.is_empty()),
        }
    }
}
