// SPDX-License-Identifier: MIT OR Apache-2.0
//! Series of every shape, made by hand: mails, threads, folders, ranges of commits.

use super::*;

/// A diff of one file; `line` makes it unlike others.
fn diff(line: &str) -> String {
    format!(
        "diff --git a/mm/a.c b/mm/a.c\nindex 1..2 100644\n--- a/mm/a.c\n+++ b/mm/a.c\n@@ -1,3 +1,3 @@ f\n \tone\n-two\n+{line}\n \tthree\n"
    )
}

fn body(line: &str) -> String {
    format!(
        "Why it is so.\n\nSigned-off-by: A <a@b>\n---\n mm/a.c | 2 +-\n\n{}-- \n2.39.2\n\n",
        diff(line)
    )
}

/// A mail of a thread with these headers more.
fn mail(subject: &str, headers: &str, body: &str) -> String {
    let id: String = subject.chars().filter(char::is_ascii_alphanumeric).collect();
    format!(
        "From mboxrd@z Thu Jan  1 00:00:00 1970\nFrom: A Hacker <a@b>\nSubject: {subject}\nMessage-Id: <{id}@b>\n{headers}\n{body}\n"
    )
}

fn patch_mail(subject: &str) -> String {
    mail(subject, "", &body(subject))
}

/// Subjects of the patches in `mbox`, in order, and what was left out; or why there is none.
fn chosen(mbox: &str) -> Result<(Vec<String>, Vec<String>), String> {
    let series = thread::series(mail::read(mbox.as_bytes(), "x.mbx")?, false)?;
    let subjects = series.patches.into_iter().map(|(subject, _)| subject).collect();
    Ok((subjects, series.notes))
}

fn subjects(mbox: &str) -> Vec<String> {
    chosen(mbox).unwrap().0
}

/// The one patch in a mail of this kind.
fn text_of(headers: &str, body: &[u8]) -> String {
    let head = mail("[PATCH] mm: one", headers, "");
    let bytes = [head.trim_end_matches('\n').as_bytes(), b"\n\n", body].concat();
    let mails = mail::read(&bytes, "x.eml").unwrap();
    let series = thread::series(mails, false).unwrap();
    assert_eq!(series.patches.len(), 1);
    String::from_utf8_lossy(&series.patches[0].1).into_owned()
}

/// As `text_of`, and the patch in it is whole and has the change.
#[track_caller]
fn is_whole(headers: &str, body: &[u8]) {
    let text = text_of(headers, body);
    assert_eq!(Diff::read(text.as_bytes()).unwrap().touches.len(), 1, "{text}");
    assert!(text.contains(&diff("2 \u{fc}")), "{text}");
    assert!(text.starts_with("From: A Hacker <a@b>\nSubject: [PATCH] mm: one\n\n"), "{text}");
}

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
    assert_eq!(notes, ["other mails left out: 4, 1 of them answers with a diff"]);
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
    assert_eq!(error, "of 3 parts of version 1 these are missing: 2 (there are: 1, 3)");
    let empty = thread + &mail("[PATCH 2/3] mm: two", "", "see the attachment\n");
    let error = chosen(&empty).unwrap_err();
    assert!(
        error.ends_with("; `[PATCH 2/3] mm: two` (x.mbx, mail 3) has no patch in it"),
        "{error}"
    );
    let error = chosen(&patch_mail("[PATCH 4/3] mm: x")).unwrap_err();
    assert!(error.contains("beyond the last part"), "{error}");
}

#[test]
fn the_newest_version_is_taken_aloud() {
    let thread = ["[PATCH 1/2] mm: a", "[PATCH 2/2] mm: b", "[PATCH v2] mm: a", "[PATCHv10] mm: a"];
    let (subjects, notes) = chosen(&thread.map(patch_mail).concat()).unwrap();
    assert_eq!(subjects, ["[PATCHv10] mm: a"]);
    assert_eq!(notes, ["version 10 is taken; patches of older ones left out: 3"]);
    // A newer cover letter alone is no newer version.
    let cover = mail("[PATCH v3 0/2] mm: all", "", "soon\n");
    let thread = ["[PATCH 1/2] mm: a", "[PATCH 2/2] mm: b"].map(patch_mail).concat();
    assert_eq!(chosen(&(thread + &cover)).unwrap().0.len(), 2);
    // One part sent anew is not a series.
    let thread = ["[PATCH 1/2] mm: a", "[PATCH 2/2] mm: b", "[PATCH v2 2/2] mm: b"];
    let error = chosen(&thread.map(patch_mail).concat()).unwrap_err();
    assert_eq!(error, "of 2 parts of version 2 these are missing: 1 (there are: 2)");
}

#[test]
fn nothing_is_guessed() {
    for thread in [
        ["[PATCH 1/2] mm: a", "[PATCH 1/3] mm: b"],
        ["[PATCH 1/1] mm: a", "[PATCH] mm: b"],
        ["[PATCH] mm: b", "[PATCH 1/1] mm: a"],
    ] {
        let error = chosen(&thread.map(patch_mail).concat()).unwrap_err();
        assert!(error.starts_with("there is more than one series in it: `[PATCH"), "{error}");
    }
    let error = chosen(&["[PATCH] mm: a", "[PATCH] mm: b"].map(patch_mail).concat()).unwrap_err();
    assert!(error.starts_with("two patches have no number"), "{error}");
    let twice = patch_mail("[PATCH 1/1] mm: a") + &mail("[PATCH RESEND 1/1] mm: a", "", &body("x"));
    let error = chosen(&twice).unwrap_err();
    assert!(error.starts_with("part 1 is there twice and not the same"), "{error}");
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
    assert!(chosen(&(answer + &other)).unwrap_err().contains("by itself"));
    assert!(chosen(&other).unwrap_err().starts_with("no mail has a patch in it: `[PATCH] mm: a`"));
}

#[test]
fn a_commit_message_may_have_lines_like_those_between_mails() {
    let text = body("x").replace("Why it is so.", "From now on it is so.\n>From here too.");
    let thread = mail("[PATCH 1/2] mm: a", "", &text) + &patch_mail("[PATCH 2/2] mm: b");
    let series = thread::series(mail::read(thread.as_bytes(), "x").unwrap(), false).unwrap();
    let text = String::from_utf8_lossy(&series.patches[0].1).into_owned();
    assert!(text.contains("\nFrom now on it is so.\nFrom here too.\n"), "{text}");
}

#[test]
fn a_body_may_be_encoded_in_every_way() {
    let plain = body("2 \u{fc}");
    is_whole("Content-Type: text/plain; charset=utf-8\n", plain.as_bytes());
    let printable =
        plain.replace('=', "=3D").replace('\u{fc}', "=C3=BC").replace("Why it", "Why =\nit");
    is_whole("Content-Transfer-Encoding: quoted-printable\n", printable.as_bytes());
    is_whole("", plain.replace('\n', "\r\n").as_bytes());
    let base64 = base64(plain.replace('\n', "\r\n").as_bytes());
    let header = "Content-Type: text/plain; charset=\"utf-8\"\nContent-Transfer-Encoding: base64\n";
    is_whole(header, base64.as_bytes());
    // Bytes stay as they are in the file, whatever they are said to be.
    is_whole("Content-Type: text/plain; charset=us-ascii\n", plain.as_bytes());
    is_whole("Content-Type: text/plain; charset=iso-8859-1\n", plain.as_bytes());
}

#[test]
fn flowed_text_is_put_together_again() {
    let header = "Content-Type: text/plain; charset=utf-8; format=flowed\n";
    let stuffed: Vec<String> = body("2 \u{fc}")
        .lines()
        .map(|line| match line {
            "Why it is so." => "Why \nit is so.".to_owned(),
            line if line.starts_with(' ') => format!(" {line}"),
            line => line.to_owned(),
        })
        .collect();
    is_whole(header, stuffed.join("\n").as_bytes());
    assert!(text_of(header, stuffed.join("\n").as_bytes()).contains("\nWhy it is so.\n"));
    let cut = stuffed.join("\n").replace("Why \n", "Wh \ny ");
    let header = header.replace("flowed", "flowed; delsp=yes");
    assert!(text_of(&header, cut.as_bytes()).contains("\nWhy it is so.\n"));
    // Said, and not done.
    is_whole(&header, body("2 \u{fc}").as_bytes());
}

#[test]
fn a_patch_may_be_attached() {
    let part = |head: &str, text: &str| format!("--b\n{head}\n\n{text}\n");
    let plain = part("Content-Type: text/plain", "Why it is so.");
    let attached = "Content-Type: text/x-patch; name=a.patch\nContent-Disposition: attachment";
    let html = part("Content-Type: text/html", &format!("<pre>{}</pre>", diff("2 \u{fc}")));
    let header = "Content-Type: multipart/mixed; boundary=b\n";
    let text = format!("{plain}{html}{}--b--\n", part(attached, &diff("2 \u{fc}")));
    is_whole(header, text.as_bytes());
    assert!(text_of(header, text.as_bytes()).contains("\nWhy it is so.\n"));
    // A whole patch with its own headers.
    let own = format!(
        "From 0 Mon Sep 17 00:00:00 2001\nFrom: B <b@b>\nSubject: [PATCH] mm: own\n\n{}",
        body("x")
    );
    let text = format!("{plain}{}--b--\n", part(attached, &own));
    let mbox = mail("[PATCH] mm: one", header, &text);
    assert_eq!(subjects(&mbox), ["[PATCH] mm: own"]);
    // HTML alone is no patch.
    let mbox = mail("[PATCH] mm: one", header, &format!("{html}--b--\n"));
    assert!(chosen(&mbox).unwrap_err().contains("no mail has a patch in it"));
}

#[test]
fn what_is_no_mail_is_a_bare_diff_or_refused() {
    let quilt = format!("It mends a.\n\n---\n{}", diff("x"));
    for text in [diff("x"), quilt.clone(), quilt.replace('\n', "\r\n"), format!("\u{feff}{quilt}")]
    {
        let mails = mail::read(text.as_bytes(), "x.diff").unwrap();
        let series = thread::series(mails, false).unwrap();
        assert!(String::from_utf8_lossy(&series.patches[0].1).contains(&diff("x")));
    }
    for (text, why) in
        [("", "neither a mail nor a patch"), ("a\0b", "binary"), ("Hello.\n", "neither")]
    {
        let error = mail::read(text.as_bytes(), "x").unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn subjects_are_decoded_and_become_names() {
    let mbox =
        mail("=?utf-8?q?=5BPATCH_1/1=5D_mm=3A_K=C3=B6nig,?=\n =?utf-8?q?_or_not?=", "", &body("x"));
    assert_eq!(subjects(&mbox), ["[PATCH 1/1] mm: K\u{f6}nig, or not"]);
    assert_eq!(slug("[PATCH v2 1/3] mm: memcg: K\u{f6}nig, or ../not"), "mm-memcg-K-nig-or-..-not");
    assert_eq!(slug("[PATCH] ..."), "patch");
}

fn lab() -> (tempfile::TempDir, Cache) {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::open(&dir.path().join("cache")).unwrap();
    (dir, cache)
}

fn names(given: &Given) -> Vec<String> {
    given
        .patches
        .iter()
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect()
}

fn fault(cache: &Cache, given: &str, source: Option<&str>) -> (Exit, String) {
    let error = read(cache, given, source).unwrap_err();
    let fault = crate::exit::fault_of(&error).unwrap_or_else(|| panic!("{error:#}"));
    (fault.exit, format!("{}\n{}", fault.what, fault.hint))
}

#[test]
fn folders_and_maildirs_are_read() {
    let (dir, cache) = lab();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let at = |name: &str| dir.path().join(name).display().to_string();
    write("f/0000-cover-letter.patch", &mail("[PATCH 0/2] all", "", "About.\n"));
    write("f/0001-b.patch", &patch_mail("[PATCH 1/2] mm: b"));
    write("f/0002-a.patch", &patch_mail("[PATCH 2/2] mm: a"));
    write("f/notes.txt", "to do");
    assert_eq!(
        names(&read(&cache, &at("f"), None).unwrap()),
        ["0001-mm-b.patch", "0002-mm-a.patch"]
    );
    // Where a list is, it is the order.
    write("f/series", "0002-a.patch\n# not yet\n0001-b.patch\n");
    assert_eq!(
        names(&read(&cache, &at("f"), None).unwrap()),
        ["0001-mm-a.patch", "0002-mm-b.patch"]
    );
    write("f/series", "0000-cover-letter.patch\n");
    assert!(fault(&cache, &at("f"), None).1.contains("0000-cover-letter.patch is not one patch"));
    // Numbers in names do where subjects have none.
    write("n/0001-x.patch", &diff("x"));
    write("n/0002-y.patch", &diff("y"));
    assert_eq!(read(&cache, &at("n"), None).unwrap().patches.len(), 2);
    write("m/cur/2:2,S", &patch_mail("[PATCH 1/2] mm: b"));
    write("m/new/1", &patch_mail("[PATCH 2/2] mm: a").replace('\n', "\r\n"));
    write("m/tmp/3", "half");
    assert_eq!(
        names(&read(&cache, &at("m"), None).unwrap()),
        ["0001-mm-b.patch", "0002-mm-a.patch"]
    );
    write("e/readme.md", "");
    assert_eq!(fault(&cache, &at("e"), None).0, Exit::Usage);
    assert_eq!(fault(&cache, &at("gone.mbx"), None).0, Exit::Usage);
    write("bad.mbx", &mail("[PATCH] mm: a", "", &diff("x").replace("a/mm", "a/../mm")));
    let (exit, said) = fault(&cache, &at("bad.mbx"), None);
    assert!(exit == Exit::Series && said.contains("leaves the kernel tree"), "{said}");
    write("cut.mbx", &mail("[PATCH] mm: a", "", &diff("x").replace("+x\n \tthree\n", "")));
    assert!(fault(&cache, &at("cut.mbx"), None).1.contains("0001-mm-a.patch: "));
}

#[test]
fn a_compressed_mbox_is_unpacked() {
    let (dir, cache) = lab();
    let path = dir.path().join("t.mbox");
    fs::write(&path, patch_mail("[PATCH] mm: a")).unwrap();
    let packed = Command::new("gzip").arg(&path).status().unwrap();
    assert!(packed.success());
    let at = dir.path().join("t.mbox.gz");
    assert_eq!(names(&read(&cache, at.to_str().unwrap(), None).unwrap()), ["0001-mm-a.patch"]);
    fs::write(&at, b"\x1f\x8b\x08broken").unwrap();
    assert_eq!(fault(&cache, at.to_str().unwrap(), None).0, Exit::Series);
}

#[test]
fn a_range_of_commits_is_a_series() {
    let (dir, cache) = lab();
    let script = "git init -q r; cd r; git config user.name A; git config user.email a@b
        git config diff.noprefix true; git config format.noprefix true; git config format.attach yes
        mkdir mm; seq 9 > mm/a.c; git add .; git commit -qm base; git tag base
        echo ten >> mm/a.c; git commit -qam 'mm: ten'
        git mv mm/a.c mm/b.c; git commit -qm 'mm: b'; git tag tip
        git checkout -qb side base; echo x > x; git add x; git commit -qm x
        git merge -q -m merged tip";
    let mut command = Command::new("sh");
    command.current_dir(dir.path()).args(["-ec", script]);
    let output = process::capture(command, Duration::from_secs(60)).unwrap();
    assert!(output.status.success(), "{}", output.text);
    let repository = dir.path().join("r").display().to_string();
    let own = format!("{repository}@base..tip");
    let given = read(&cache, &own, None).unwrap();
    assert_eq!(names(&given), ["0001-mm-ten.patch", "0002-mm-b.patch"]);
    let text = fs::read_to_string(&given.patches[1]).unwrap();
    assert!(text.contains("diff --git a/mm/a.c b/mm/a.c\ndeleted file"), "{text}");
    assert!(text.contains("diff --git a/mm/b.c b/mm/b.c\nnew file"), "{text}");
    // The repository may be that of --source, and files are the same for the same commits.
    let source = format!("{repository}@base");
    assert_eq!(read(&cache, "base..tip", Some(&source)).unwrap().patches, given.patches);
    assert_eq!(read(&cache, "base..tip", Some(&repository)).unwrap().patches, given.patches);
    for (given, why) in [
        ("base..tip".to_owned(), "in which repository?"),
        (format!("{repository}@base...tip"), "three dots"),
        (format!("{repository}@tip"), "one commit"),
        (format!("{repository}@base..side"), "merges"),
        (format!("{repository}@tip..tip"), "no commits"),
        (format!("{repository}@base..nowhere"), "does not know"),
        (repository.clone(), "@BASE..TIP"),
        ("../gone.mbx".to_owned(), "no such file"),
    ] {
        let (exit, said) = fault(&cache, &given, None);
        assert!(exit == Exit::Usage && said.contains(why), "{given}: {said}");
    }
}

/// Enough of RFC 4648 to write a mail.
fn base64(bytes: &[u8]) -> String {
    let letters: Vec<char> =
        ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']).collect();
    let mut text = String::new();
    for (at, three) in bytes.chunks(3).enumerate() {
        let word = three.iter().fold(0_usize, |word, byte| word << 8 | usize::from(*byte));
        let word = word << (8 * (3 - three.len()));
        for place in 0..4 {
            let letter = letters[word >> (18 - 6 * place) & 63];
            text.push(if place > three.len() { '=' } else { letter });
        }
        if at % 18 == 17 {
            text.push('\n');
        }
    }
    text
}
