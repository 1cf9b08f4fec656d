// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parts that are chosen, and programs that compile.

use super::source::{Source, quoted};
use super::*;

const PART: &str = "\
// SPDX-License-Identifier: MIT OR Apache-2.0
#include <stdio.h>

static int used;

/* mentions other() */
static void work(void)
{
	used++;

	puts(\"two blocks\");
}

static void other(void)
{
}
";

#[test]
fn only_what_main_uses_is_kept() {
    let mut source = Source::default();
    source.add_constants(vec![("ONE".to_owned(), "1".to_owned()), ("TWO".into(), "2".into())]);
    source.add(PART);
    source.add("#include <other.h>\n\nstatic void unused(void)\n{\n}\n");
    let text = source.text("Title", "int main(void)\n{\n\twork();\n\treturn ONE;\n}");
    for there in ["static int used;", "two blocks", "#define ONE\t\t1\n", "#include <stdio.h>"] {
        assert!(text.contains(there), "{there}: {text}");
    }
    for gone in ["void other", "TWO", "other.h", "unused"] {
        assert!(!text.contains(gone), "{gone}: {text}");
    }
}

#[test]
fn texts_of_a_cell_stay_texts() {
    let text = Source::default().text("ends */ early \u{1b}[31m", "int main(void)\n{\n}");
    assert!(text.contains("ends * / early \u{fffd}[31m"), "{text}");
    assert_eq!(quoted("a\"b\\c\n"), r#""a\"b\\c\012""#);
}

#[test]
fn sizes_are_written_as_by_hand() {
    assert_eq!(bytes(2 << 20), "(2L << 20)");
    assert_eq!(bytes(544 << 10), "(544L << 10)");
    assert_eq!((bytes(0), bytes(7)), ("0L".to_owned(), "7L".to_owned()));
}
