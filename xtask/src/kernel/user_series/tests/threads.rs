// SPDX-License-Identifier: MIT OR Apache-2.0
//! Threads of several mails: versions, parts, answers.

use super::*;

#[test]
fn a_thread_has_a_cover_letter_answers_and_parts_in_any_order() {
    let quoted =
        "> diff --git a/mm/a.c b/mm/a.c\n> --- a/mm/a.c\n> +++ b/mm/a.c\n\nAcked-by: B <b@b>\n";
    let thread = [
        mail("[PATCH v3 0/3] mm: all", "", "It is about this.\n"),
        patch_mail("[PATCH v3 2/3] mm: two"),
        mail("Re: [PATCH v3 2/3] mm: two", "", quoted),
        mail("Re: [PATCH v3 1/3] mm: one", "", &format!("How about\n\n{}", diff("other"))),
        patch_mail("[PATCH v3 3/3] mm: three"),
        patch_mail("[PATCH v3 1/3] mm: one"),
        mail("Unrelated", "", "Hello.\n"),
    ];
    let (subjects, notes) = chosen(&thread.concat()).unwrap();
    let said = ["[PATCH v3 1/3] mm: one", "[PATCH v3 2/3] mm: two", "[PATCH v3 3/3] mm: three"];
    assert_eq!(subjects, said);
    assert_eq!(
        notes,
        ["other mails left out: 4; with a diff: `[PATCH v3 1/3] mm: one` (x.mbx, mail 4)"]
    );
}

#[test]
fn ten_comes_after_nine() {
    let thread: String = [10, 9, 1, 2, 3, 4, 5, 6, 7, 8]
        .map(|number| patch_mail(&format!("[RFC PATCH mm-unstable v2 {number:02}/10] mm: x")))
        .concat();
    let subjects = subjects(&thread);
    assert!(subjects[0].contains("01/10") && subjects[9].contains("10/10"), "{subjects:?}");
}

#[test]
fn a_part_that_is_missing_or_has_no_patch_is_named() {
    let thread = patch_mail("[PATCH 1/3] mm: one") + &patch_mail("[PATCH 3/3] mm: three");
    let error = chosen(&thread).unwrap_err();
    assert_eq!(error, "version 1 has 3 parts; missing: 2 (found: 1, 3)");
    let empty = thread + &mail("[PATCH 2/3] mm: two", "", "see the attachment\n");
    let error = chosen(&empty).unwrap_err();
    assert!(error.ends_with("; `[PATCH 2/3] mm: two` (x.mbx, mail 3) has no patch"), "{error}");
    let error = chosen(&patch_mail("[PATCH 4/3] mm: x")).unwrap_err();
    assert_eq!(error, "version 1 has 3 parts; missing: 1, 2, 3 (found: 4)");
}

#[test]
fn the_newest_version_is_taken_aloud() {
    let thread = ["[PATCH 1/2] mm: a", "[PATCH 2/2] mm: b", "[PATCH v2] mm: a", "[PATCHv10] mm: a"];
    let (subjects, notes) = chosen(&thread.map(patch_mail).concat()).unwrap();
    assert_eq!(subjects, ["[PATCHv10] mm: a"]);
    let left_out = "3: `[PATCH 1/2] mm: a`, `[PATCH 2/2] mm: b`, `[PATCH v2] mm: a`";
    assert_eq!(
        notes,
        [format!("using version 10; patches of older versions left out: {left_out}")]
    );
    // A newer cover letter alone is no newer version.
    let cover = mail("[PATCH v3 0/2] mm: all", "", "soon\n");
    let thread = ["[PATCH 1/2] mm: a", "[PATCH 2/2] mm: b"].map(patch_mail).concat();
    assert_eq!(chosen(&(thread + &cover)).unwrap().0.len(), 2);
    // One part sent anew is not a series.
    let thread = ["[PATCH 1/2] mm: a", "[PATCH 2/2] mm: b", "[PATCH v2 2/2] mm: b"];
    let error = chosen(&thread.map(patch_mail).concat()).unwrap_err();
    assert_eq!(
        error,
        "version 2 has 2 parts; missing: 1 (found: 2); version 1 is complete: give it alone"
    );
}

#[test]
fn nothing_is_guessed() {
    for thread in [
        ["[PATCH 1/2] mm: a", "[PATCH 1/3] mm: b"],
        ["[PATCH 1/1] mm: a", "[PATCH] mm: b"],
        ["[PATCH] mm: b", "[PATCH 1/1] mm: a"],
    ] {
        let error = chosen(&thread.map(patch_mail).concat()).unwrap_err();
        assert!(error.starts_with("it has more than one series: `[PATCH"), "{error}");
    }
    let error = chosen(&["[PATCH] mm: a", "[PATCH] mm: b"].map(patch_mail).concat()).unwrap_err();
    assert!(error.starts_with("two patches without a number"), "{error}");
    let twice = patch_mail("[PATCH 1/1] mm: a") + &mail("[PATCH RESEND 1/1] mm: a", "", &body("x"));
    let error = chosen(&twice).unwrap_err();
    assert!(error.starts_with("two different patches have number 1"), "{error}");
    // It came over two lists.
    let twice = patch_mail("[PATCH 1/1] mm: a") + &patch_mail("[PATCH 1/1] mm: a");
    assert_eq!(chosen(&twice).unwrap().0.len(), 1);
    let twice = patch_mail("[PATCH] mm: a") + &patch_mail("[PATCH] mm: a");
    assert_eq!(chosen(&twice).unwrap().0.len(), 1);
}

#[test]
fn an_answer_is_a_patch_only_by_itself() {
    let answer = mail("Re: [PATCH] mm: a", "", &format!("How about\n\n{}", diff("x")));
    assert_eq!(subjects(&answer), ["[PATCH] mm: a"]);
    let other = mail("Re: [PATCH] mm: a", "", "yes\n");
    assert!(chosen(&(answer + &other)).unwrap_err().contains("alone"));
    assert!(chosen(&other).unwrap_err().starts_with("no mail has a patch: `[PATCH] mm: a`"));
}

#[test]
fn two_series_in_one_mailbox_are_refused_whatever_their_versions() {
    for (subjects, known, other) in [
        (["[PATCH 1/2] mm: a", "[PATCH 2/2] mm: b", "[PATCH v3] net: c"], "mm: a", "net: c"),
        (
            ["[PATCH v2 1/2] mm: a", "[PATCH v2 2/2] mm: b", "[PATCH v5 1/1] net: c"],
            "mm: a",
            "net: c",
        ),
    ] {
        let error = chosen(&subjects.map(patch_mail).concat()).unwrap_err();
        assert!(error.starts_with("it has more than one series: "), "{error}");
        assert!(error.contains(known) && error.contains(other), "{error}");
    }
    let unnumbered = ["[PATCH] mm: a", "[PATCH] [v2] mm: b", "[PATCH] mm: c"].map(patch_mail);
    assert!(chosen(&unnumbered.concat()).unwrap_err().starts_with("it has more than one series"));
    // A new name for all of it, and as many parts; or one part more.
    let renamed = ["[PATCH] mm: a", "[PATCH v2] mm: memcg: better"].map(patch_mail).concat();
    assert_eq!(subjects(&renamed), ["[PATCH v2] mm: memcg: better"]);
    let longer = ["[PATCH] mm: a", "[PATCH v2 1/2] mm: A", "[PATCH v2 2/2] mm: b"];
    assert_eq!(subjects(&longer.map(patch_mail).concat()).len(), 2);
}

#[test]
fn a_patch_attached_to_an_answer_is_an_answer() {
    let attached = format!(
        "--b\nContent-Type: text/plain\n\nHow about the attached?\n--b\nContent-Type: text/x-patch; name=f\n\n\
         From 1 Mon Sep 17 00:00:00 2001\nFrom: B <b@b>\nSubject: [PATCH v2] mm: a, my way\n\n{}--b--\n",
        body("other")
    );
    let header = "Content-Type: multipart/mixed; boundary=b\n";
    let answer = mail("Re: [PATCH 1/2] mm: a", header, &attached);
    let thread = ["[PATCH 1/2] mm: a", "[PATCH 2/2] mm: b"].map(patch_mail).concat();
    let (subjects, notes) = chosen(&(thread + &answer)).unwrap();
    assert_eq!(subjects, ["[PATCH 1/2] mm: a", "[PATCH 2/2] mm: b"]);
    let said = "other mails left out: 1; with a diff: `[PATCH v2] mm: a, my way` (x.mbx, mail 3, attachment 1)";
    assert_eq!(notes, [said]);
    // By itself it was saved for its patch.
    assert_eq!(chosen(&answer).unwrap().0, ["[PATCH v2] mm: a, my way"]);
}

#[test]
fn a_version_that_is_no_number_is_refused() {
    let thread = ["[PATCH v2 1/2] mm: a", "[PATCH v2 2/2] mm: b", "[PATCH v2.1 2/2] mm: b"];
    let error = chosen(&thread.map(patch_mail).concat()).unwrap_err();
    assert!(error.starts_with("`[PATCH v2.1 2/2] mm: b` (x.mbx, mail 3) has a version"), "{error}");
    // It was of an older version, or is the name of something, or of a branch.
    let stable = ["[PATCH v6.12 1/2] mm: a", "[PATCH 6.12.y 2/2] mm: b"].map(patch_mail).concat();
    assert_eq!(subjects(&stable).len(), 2);
    let thread = ["[PATCH v2.1] mm: b", "[PATCH v3 1/1] mm: b"].map(patch_mail).concat();
    assert_eq!(subjects(&thread), ["[PATCH v3 1/1] mm: b"]);
    assert_eq!(subjects(&patch_mail("[PATCH v4l2] media: b")).len(), 1);
}

#[test]
fn a_number_of_parts_that_nobody_sends_is_refused() {
    let error = chosen(&patch_mail("[PATCH 1/4294967295] mm: a")).unwrap_err();
    assert!(error.ends_with("claims too many parts"), "{error}");
    let error = chosen(&patch_mail("[PATCH 1/900] mm: a")).unwrap_err();
    assert!(error.contains(": 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 889 more (found"), "{error}");
}

#[test]
fn what_b4_adds_to_a_series_is_numbered_beyond_its_end() {
    let thread = ["[PATCH 1/2] mm: a", "[PATCH 2/2] mm: b", "[PATCH 3/2] mm: c"];
    let (subjects, notes) = chosen(&thread.map(patch_mail).concat()).unwrap();
    assert_eq!(subjects, thread);
    assert_eq!(notes, ["`[PATCH 3/2] mm: c` (x.mbx, mail 3) goes on after the last part"]);
    let gap = ["[PATCH 1/2] mm: a", "[PATCH 2/2] mm: b", "[PATCH 4/2] mm: c"].map(patch_mail);
    assert!(chosen(&gap.concat()).unwrap_err().contains("missing: 3 (found: 1, 2, 4)"));
}

#[test]
fn parts_of_two_versions_are_a_series_if_every_number_is_there_once() {
    for thread in [
        ["[PATCH v3 1/2] mm: a", "[PATCH 2/2] mm: b"],
        ["[PATCH v2 2/2] mm: b", "[PATCH 1/2] mm: a"],
        ["[PATCH v2 1/2] mm: a", "[PATCH v3 2/2] mm: B"],
    ] {
        let (mut subjects, notes) = chosen(&thread.map(patch_mail).concat()).unwrap();
        assert!(subjects[0].contains("1/2") && subjects[1].contains("2/2"), "{subjects:?}");
        subjects.sort();
        let [note] = notes.as_slice() else { panic!("{notes:?}") };
        assert!(
            note.contains("has only some of the parts; taken from older versions: `"),
            "{note}"
        );
    }
    let other = ["[PATCH v3 1/2] mm: a", "[PATCH 2/3] mm: b"].map(patch_mail).concat();
    chosen(&other).unwrap_err();
}

#[test]
fn a_patch_in_answer_to_a_series_is_left_out_with_a_note() {
    let answers = |to: &str| format!("In-Reply-To: <{to}@b>\nReferences: <{to}@b>\n");
    let series = ["[PATCH v3 1/2] mm: a", "[PATCH v3 2/2] mm: b"].map(patch_mail).concat();
    let reply = mail("Re: [PATCH v3 2/2] mm: b", &answers("PATCHv322mmb"), "A slip.\n");
    for (subject, to) in [
        ("[PATCH] fix: mm: b", "RePATCHv322mmb"),
        ("[PATCH v3] fix: mm: b", "PATCHv322mmb"),
        ("[PATCH 1/1] fix: mm: b", "RePATCHv322mmb"),
    ] {
        let stray = mail(subject, &answers(to), &body("other"));
        let (subjects, notes) = chosen(&(series.clone() + &reply + &stray)).unwrap();
        assert_eq!(subjects, ["[PATCH v3 1/2] mm: a", "[PATCH v3 2/2] mm: b"]);
        let said = format!("left out, sent in answer to the series: `{subject}` (x.mbx, mail 4)");
        assert_eq!(notes[0], said);
    }
    // A patch that answers nothing here may be anything.
    let other = mail("[PATCH v3] fix: mm: b", "", &body("other"));
    assert!(chosen(&(series + &other)).unwrap_err().starts_with("it has more than one series"));
    // The next version of a series is often sent in answer to the one before.
    let old = ["[PATCH 1/2] mm: a", "[PATCH 2/2] mm: b"].map(patch_mail).concat();
    let new = mail("[PATCH v2] mm: a", &answers("PATCH12mma"), &body("new"));
    assert_eq!(chosen(&(old + &new)).unwrap().0, ["[PATCH v2] mm: a"]);
}

#[test]
fn brackets_are_read_as_people_write_them() {
    for (subject, version, part) in [
        ("[PATCH RFC v2 2/5] mm: a", 2, Some((2, 5))),
        ("[RFCv2 PATCH 2/5] mm: a", 2, Some((2, 5))),
        ("[RFC-v2 PATCH 02/05] mm: a", 2, Some((2, 5))),
        ("[PATCH 6.12.y 1/3] mm: a", 1, Some((1, 3))),
        ("[PATCH mm-unstable v3 1/3] mm: a", 3, Some((1, 3))),
        ("[RESEND PATCH v2 1/3] mm: a", 2, Some((1, 3))),
        ("[PATCH v2-resend,1/3] mm: a", 2, Some((1, 3))),
        ("[PATCH (v2) 1/3] mm: a", 2, Some((1, 3))),
        ("[PATCH/RFC V4 0/3] mm: a", 4, Some((0, 3))),
        ("[PATCH v4l2 1/3] media: a", 1, Some((1, 3))),
        ("[PATCH] [v2] mm: a", 2, None),
    ] {
        let mails = mail::read(patch_mail(subject).as_bytes(), "x").unwrap();
        assert_eq!((mails[0].tag.version(), mails[0].tag.part), (version, part), "{subject}");
    }
}

#[test]
fn the_cover_letter_says_what_the_series_applies_to() {
    let cover = mail(
        "[PATCH 0/1] mm: all",
        "",
        "About.\n\nbase-commit: 0123\nprerequisite-patch-id: 4567\n",
    );
    let thread = cover + &patch_mail("[PATCH 1/1] mm: a");
    let series = thread::series(mail::read(thread.as_bytes(), "x").unwrap(), false).unwrap();
    let text = String::from_utf8_lossy(&series.patches[0].1).into_owned();
    assert!(text.ends_with("-- \nbase-commit: 0123\nprerequisite-patch-id: 4567\n"), "{text}");
    assert_eq!(Diff::read(text.as_bytes()).unwrap().touches.len(), 1);
}
