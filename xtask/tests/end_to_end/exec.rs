// SPDX-License-Identifier: MIT OR Apache-2.0
//! A program of the user as the load of a cell.

use std::fs;

use super::{Bench, counted};

/// Opens files until it fails, which it may not do before it has some thousands.
const OPENS: &str = r#"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	int count = 0, error;
	while (open("/dev/null", O_RDONLY) >= 0)
		count++;
	error = errno;
	for (int fd = 3; fd < 100; fd++)
		close(fd);
	printf("%s: %d files, then error %d\n", argv[1], count, error);
	return count < 1000;
}
"#;

const FILLS: &str = "#!/bin/sh
echo \"$1, in $(pwd)\"
i=0
while [ $i -lt 40 ]; do
	head -c 100000 /dev/zero > file-$i || exit 9
	i=$((i + 1))
done
";

#[test]
fn what_is_no_program_is_refused_before_anything_is_built() {
    let bench = Bench::new();
    let path = bench.folder.path().join("broken.c");
    fs::write(&path, "int main(void) { return no_such_name; }").unwrap();
    let path = path.display().to_string();
    bench
        .run(&["run-matrix", "--exec", &path])
        .expect_exit(2)
        .expect_error("broken.c: gcc -static does not compile it")
        .expect_error("no_such_name");
    bench
        .run(&["run-matrix", "--exec", "/no/such/program"])
        .expect_exit(2)
        .expect_error("/no/such/program: No such file");
    bench.run(&["run-matrix", "--limit", "4M"]).expect_exit(2).expect_error("--exec");
    bench
        .run(&["run-matrix", "--exec", "/bin/sh", "--limit", "4"])
        .expect_exit(2)
        .expect_error("--limit: 4 bytes are no whole pages");
    assert!(!bench.results().join("latest").exists(), "a run folder was made");
}

#[test]
#[ignore = "boots VMs: `cargo xtask test` builds the kernels and runs it"]
fn a_c_file_and_a_script_are_run_at_their_limit_and_compared() {
    let bench = Bench::new();
    let file = |name: &str, text: &str| {
        let path = bench.folder.path().join(name);
        fs::write(&path, text).expect("a file in the temporary folder");
        path.display().to_string()
    };
    let (opens, fills) = (file("opens.c", OPENS), file("fills.sh", FILLS));
    let run = |program: &str, options: &[&str], word: &str| {
        let common = ["run-matrix", "--exec", program, word, "--limit", "2M"];
        bench.run(&[&common[..], options].concat()).expect_exit(0);
        let result = bench.result();
        let cells = result["cells"].as_array().expect("cells is a list").clone();
        cells.into_iter().map(|ran| counted(&ran).clone()).collect::<Vec<_>>()
    };
    let judged = run(&opens, &["--unkillable", "--policy", "overcharge"], "word");
    let [baseline, patched] = &judged[..] else { panic!("{} cells", judged.len()) };
    assert_eq!(baseline["breaks"], serde_json::json!(["I1"]), "{baseline:#}");
    assert_eq!(patched["verdict"], "PASS", "{patched:#}");
    assert!(patched["facts"]["counters.denied"].as_f64() >= Some(1.0), "{patched:#}");
    for judgement in [baseline, patched] {
        assert_eq!(judgement["facts"]["program.status"], 0.0, "{judgement:#}");
    }
    bench
        .run(&["show", "overcharge.overcharge"])
        .expect_exit(0)
        .expect_output("/exec/opens word on cgroup v2")
        .expect_output("files, then error 12");

    // It fills a tmpfs of its own with twice the limit: the OOM killer ends it.
    for judgement in run(&fills, &["--policy", "overcharge"], "word") {
        assert_eq!(judgement["verdict"], "PASS", "{judgement:#}");
        assert_eq!(judgement["facts"]["program.failed"], 1.0, "{judgement:#}");
        assert!(judgement["facts"]["events.oom_kill"].as_f64() >= Some(1.0), "{judgement:#}");
    }
    bench.run(&["show", "baseline"]).expect_exit(0).expect_output("word, in /tmp");
}

#[test]
#[ignore = "boots VMs: `cargo xtask test` builds the kernels and runs it"]
fn a_cell_as_a_program_has_the_verdicts_of_its_scenario() {
    let bench = Bench::new();
    let cells = "open-unkillable.v2.{baseline.mainline,overcharge.overcharge}";
    bench.run(&["run-matrix", "--filter", cells]).expect_exit(0);
    let path = bench.folder.path().join("test_open.c");
    let path = path.to_str().expect("a path in UTF-8");
    let export = ["export", "--format", "kselftest", "--output", path];
    let of = |cell| bench.run(&[&export[..], &["--cell", cell]].concat());
    of("open-unkillable").expect_exit(2).expect_error("more than one cell");
    of("overcharge.overcharge").expect_exit(0);
    bench.run(&export).expect_exit(2).expect_error("--cell");

    let options = ["--limit", "64M", "--policy", "overcharge"];
    bench.run(&[&["run-matrix", "--exec", path][..], &options].concat());
    let statuses: Vec<_> = bench.result()["cells"]
        .as_array()
        .expect("cells is a list")
        .iter()
        .map(|ran| counted(ran)["facts"]["program.status"].as_f64())
        .collect();
    assert_eq!(statuses, [Some(1.0), Some(0.0)]);
    bench.run(&["show", "baseline"]).expect_output("not ok 1 no call fails for lack of memory");
    bench.run(&["show", "overcharge.overcharge"]).expect_output("ok 1 no call fails");
}
