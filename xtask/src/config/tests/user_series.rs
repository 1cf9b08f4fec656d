// SPDX-License-Identifier: MIT OR Apache-2.0
//! A series that is named on the command line, as a kernel.

use super::*;
use crate::config::UserSeries;
use crate::taxonomy::USER_SERIES;

fn series(like: Option<&str>) -> UserSeries {
    let patches = vec![PathBuf::from("/cache/series/1/0001-a.patch")];
    UserSeries { like: like.map(str::to_owned), patches, ..UserSeries::default() }
}

fn added(series: UserSeries) -> Result<(Config, String), Fault> {
    let mut config = good();
    let baseline = config.add_user_series(series, "default")?;
    Ok((config, baseline))
}

#[test]
fn it_is_the_baseline_with_its_patches_in_the_same_tree() {
    let (config, baseline) = added(series(None)).unwrap();
    assert_eq!(baseline, "baseline");
    let (base, kernel) = (&config.kernels["baseline"], &config.kernels[USER_SERIES]);
    assert_eq!(*base, good().kernels["baseline"], "nothing about it changes");
    assert_eq!(kernel.extra_patches, [PathBuf::from("/cache/series/1/0001-a.patch")]);
    assert_eq!((&kernel.tree, &kernel.fragments), (&base.tree, &base.fragments));
    assert_eq!((kernel.policies.len(), kernel.policies[0].name.as_str()), (1, MAINLINE));
    assert!(kernel.policies[0].or_better && !base.policies[0].or_better);
    let matrix = &config.matrices["default"];
    assert_eq!(matrix.kernels, ["baseline", USER_SERIES]);
    assert_eq!(matrix.baseline.as_deref(), Some("baseline"));
}

#[test]
fn one_like_another_takes_its_policies_and_not_its_patches() {
    let (config, baseline) = added(series(Some("patched"))).unwrap();
    assert_eq!(baseline, "baseline");
    let (kernel, like) = (&config.kernels[USER_SERIES], &config.kernels["patched"]);
    assert_eq!((kernel.series.as_ref(), kernel.extra_patches.len()), (None, 1));
    assert_eq!((&kernel.policies, &kernel.tree), (&like.policies, &like.tree));
    assert_eq!((&kernel.cap_file, &kernel.counters_file), (&like.cap_file, &like.counters_file));
    assert_eq!(kernel.fragments, ["boot", "memcg"]);
    assert!(kernel.policies.iter().all(|policy| !policy.or_better));
}

#[test]
fn its_fragments_are_those_of_the_kernel_beside_it() {
    let fragments = vec![PathBuf::from("/home/me/zswap.config")];
    let (config, _) = added(UserSeries { fragments: fragments.clone(), ..series(None) }).unwrap();
    for name in ["baseline", USER_SERIES] {
        let kernel = &config.kernels[name];
        assert_eq!(
            (&kernel.user_fragments, kernel.tree.as_str()),
            (&fragments, USER_SERIES),
            "{name}"
        );
    }
}

#[test]
fn another_base_needs_one_unpatched_kernel() {
    let second = || UserSeries { base: Some("7.3".to_owned()), ..series(None) };
    let fault = added(second()).unwrap_err();
    assert_eq!(fault.what, "base 7.3 has 0 unpatched kernels, not one");
    let mut with = texts("", "", "");
    with.kernels.push(text("kernels", "plain-7.3", "extends = \"baseline\"\nbase = \"7.3\"\n"));
    let mut config = Config::read(&with).unwrap();
    assert_eq!(config.add_user_series(second(), "default").unwrap(), "plain-7.3");
    assert_eq!(config.kernels[USER_SERIES].base, "7.3");
    assert_eq!(config.kernels[USER_SERIES].gone, config.kernels["plain-7.3"].gone);
    // One more: a choice is nobody's but the user's.
    with.kernels.push(text("kernels", "other-7.3", "extends = \"baseline\"\nbase = \"7.3\"\n"));
    let config = || Config::read(&with).unwrap();
    let fault = config().add_user_series(second(), "default").unwrap_err();
    assert!(fault.what.contains("2 unpatched kernels") && fault.hint.contains("--like"));
    let like = UserSeries { like: Some("other-7.3".to_owned()), ..second() };
    assert_eq!(config().add_user_series(like, "default").unwrap(), "other-7.3");
    let typo = UserSeries { base: Some("6.13".to_owned()), ..series(None) };
    assert!(added(typo).unwrap_err().hint.contains("6.12"));
    assert!(added(series(Some("pathced"))).unwrap_err().hint.contains("patched"));
}

#[test]
fn a_config_file_of_that_name_is_in_the_way() {
    let mut with = texts("", "", "");
    with.kernels.push(text("kernels", USER_SERIES, BASELINE));
    let fault = Config::read(&with).unwrap().add_user_series(series(None), "default").unwrap_err();
    assert!(fault.what.starts_with("configs/kernels/series.toml: "), "{}", fault.what);
}

#[test]
fn a_patched_kernel_without_policies_may_do_better() {
    let mut with = texts("", "", "");
    let plain = "extends = \"baseline\"\nseries = \"patches/mine\"\n";
    with.kernels.push(text("kernels", "mine", plain));
    let config = Config::read(&with).unwrap();
    assert!(config.kernels["mine"].policies[0].or_better);
    assert!(!config.kernels["baseline"].policies[0].or_better);
    assert!(config.kernels["mine"].step(1, Vec::new()).policies[0].or_better);
    assert!(!config.kernels["patched"].step(1, Vec::new()).policies[0].or_better);
}

#[test]
fn a_matrix_of_debugging_kernels_is_refused_and_not_replaced() {
    let mut config = good();
    let kernels = config.matrices["default"].kernels.clone();
    for name in &kernels {
        config.kernels.get_mut(name).unwrap().slowdown = 6;
    }
    let fault = config.add_user_series(series(None), "default").unwrap_err();
    assert!(fault.what.contains("debugging kernels only"), "{}", fault.what);
    assert!(fault.hint.contains("--fragment"), "{}", fault.hint);
}
