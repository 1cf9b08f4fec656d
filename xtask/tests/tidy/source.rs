// SPDX-License-Identifier: MIT OR Apache-2.0
//! The workspace as text and as parsed Rust.
//!
//! Files are found by following `mod` declarations from each crate root, as the compiler does.
//! What no declaration reaches is reported as dead. Items under `#[cfg(test)]` are test code.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use syn::{Attribute, Ident, ImplItem, Item, Visibility};

/// One Rust file.
pub(crate) struct Source {
    /// Path from the workspace, with `/`.
    pub(crate) path: String,
    /// Its text.
    pub(crate) text: String,
    /// Its syntax.
    pub(crate) ast: syn::File,
    /// Path of the crate root it belongs to.
    pub(crate) root: String,
    /// Its module path, without `crate`. Empty for the root.
    pub(crate) module: Vec<String>,
    /// Whether all of it is test code.
    pub(crate) test: bool,
}

/// All Rust files of the workspace.
pub(crate) struct Tree {
    /// Files that a crate root reaches, sorted by path.
    pub(crate) sources: Vec<Source>,
    /// Files that no `mod` declares.
    pub(crate) dead: Vec<String>,
}

impl Tree {
    /// Parses `files`: path and text of each Rust file.
    pub(crate) fn new(files: BTreeMap<String, String>) -> Self {
        let mut sources = BTreeMap::new();
        for path in files.keys().filter(|path| is_root(path)) {
            let module = Module {
                root: path,
                path: path.clone(),
                names: Vec::new(),
                test: path.contains("/tests/"),
            };
            add(module, &files, &mut sources);
        }
        let dead = files.keys().filter(|path| !sources.contains_key(*path)).cloned().collect();
        Self { sources: sources.into_values().collect(), dead }
    }

    /// The Rust files among these texts.
    pub(crate) fn of(texts: &[Text]) -> Self {
        let rust = texts.iter().filter(|text| text.ending() == "rs");
        let files: BTreeMap<_, _> =
            rust.map(|text| (text.path.clone(), text.text.clone())).collect();
        assert!(files.len() > 20, "only {} source files found: the walk is wrong", files.len());
        Self::new(files)
    }
}

struct Module<'a> {
    root: &'a str,
    path: String,
    names: Vec<String>,
    test: bool,
}

fn add(
    module: Module<'_>,
    files: &BTreeMap<String, String>,
    sources: &mut BTreeMap<String, Source>,
) {
    let Some(text) = files.get(&module.path) else { return };
    let ast = syn::parse_file(text).unwrap_or_else(|error| panic!("{}: {error}", module.path));
    let path = Path::new(&module.path);
    let folder = path.parent().unwrap_or(Path::new(""));
    let owns_folder = module.names.is_empty() || path.ends_with("mod.rs");
    let children = if owns_folder { folder.to_owned() } else { path.with_extension("") };
    for item in &ast.items {
        let (places, attrs) = match item {
            Item::Mod(child) if child.content.is_none() => {
                let name = child.ident.to_string();
                let places = match stated_path(&child.attrs) {
                    Some(stated) => vec![(name, folder.join(stated))],
                    None => vec![
                        (name.clone(), children.join(format!("{name}.rs"))),
                        (name.clone(), children.join(format!("{name}/mod.rs"))),
                    ],
                };
                (places, &child.attrs)
            }
            Item::Macro(all) => (siblings(&all.mac, &module, files), &all.attrs),
            _ => continue,
        };
        for (name, place) in places {
            let child = Module {
                root: module.root,
                path: normal(&place),
                names: module.names.iter().cloned().chain([name]).collect(),
                test: module.test || is_test(attrs),
            };
            add(child, files, sources);
        }
    }
    let source = Source {
        path: module.path.clone(),
        text: text.clone(),
        ast,
        root: module.root.to_owned(),
        module: module.names,
        test: module.test,
    };
    sources.insert(module.path, source);
}

/// What `automod::dir!("src/…")` declares: every file of that folder but the one that asks.
fn siblings(
    call: &syn::Macro,
    module: &Module<'_>,
    files: &BTreeMap<String, String>,
) -> Vec<(String, PathBuf)> {
    let names: Vec<String> = call.path.segments.iter().map(|part| part.ident.to_string()).collect();
    if names != ["automod", "dir"] {
        return Vec::new();
    }
    let package = module.root.split_once("/src/").map_or("", |(package, _)| package);
    let stated = call.tokens.clone().into_iter().last().map(|last| last.to_string());
    let folder = format!("{package}/{}/", stated.unwrap_or_default().trim_matches('"'));
    let inside = |path: &&String| {
        let name = path.strip_prefix(&folder).and_then(|name| name.strip_suffix(".rs"))?;
        let is_child = !name.contains('/') && **path != module.path;
        is_child.then(|| (name.to_owned(), PathBuf::from(*path)))
    };
    files.keys().filter_map(|path| inside(&path)).collect()
}

/// What Cargo compiles on its own: binaries, libraries, build scripts and integration tests.
fn is_root(path: &str) -> bool {
    let Some((before, name)) = path.rsplit_once('/') else { return false };
    let folder = before.rsplit('/').next();
    match folder {
        _ if name == "build.rs" => !before.contains('/'),
        Some("src") => name == "main.rs" || name == "lib.rs",
        Some("bin") => before.ends_with("src/bin"),
        Some("tests") => before == "xtask/tests",
        _ => name == "main.rs" && before.starts_with("xtask/tests/"),
    }
}

/// The file that `#[path = "…"]` names.
fn stated_path(attrs: &[Attribute]) -> Option<String> {
    let attr = attrs.iter().find(|attr| attr.path().is_ident("path"))?;
    let syn::Expr::Lit(value) = &attr.meta.require_name_value().ok()?.value else { return None };
    let syn::Lit::Str(text) = &value.lit else { return None };
    Some(text.value())
}

/// The path without `..`.
pub(crate) fn normal(path: &Path) -> String {
    let mut parts: Vec<String> = Vec::new();
    for part in path.components() {
        match part.as_os_str().to_string_lossy().as_ref() {
            ".." => drop(parts.pop()),
            part => parts.push(part.to_owned()),
        }
    }
    parts.join("/")
}

/// Whether an item is compiled for tests only.
pub(crate) fn is_test(attrs: &[Attribute]) -> bool {
    attrs.iter().any(|attr| {
        attr.path().is_ident("cfg")
            && attr.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

/// The attributes of an item; none for what has no name.
pub(crate) fn attrs_of(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Visibility and name of an item that can be documented by itself.
pub(crate) fn name_of(item: &Item) -> Option<(&Visibility, &Ident)> {
    match item {
        Item::Const(item) => Some((&item.vis, &item.ident)),
        Item::Enum(item) => Some((&item.vis, &item.ident)),
        Item::Fn(item) => Some((&item.vis, &item.sig.ident)),
        Item::Static(item) => Some((&item.vis, &item.ident)),
        Item::Struct(item) => Some((&item.vis, &item.ident)),
        Item::Trait(item) => Some((&item.vis, &item.ident)),
        Item::Type(item) => Some((&item.vis, &item.ident)),
        _ => None,
    }
}

/// The attributes of an item of an `impl`.
pub(crate) fn attrs_in_impl(item: &ImplItem) -> &[Attribute] {
    match item {
        ImplItem::Const(item) => &item.attrs,
        ImplItem::Fn(item) => &item.attrs,
        ImplItem::Type(item) => &item.attrs,
        ImplItem::Macro(item) => &item.attrs,
        _ => &[],
    }
}

/// The workspace's folder.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the workspace").to_owned()
}

/// One text file of the checkout.
pub(crate) struct Text {
    /// Path from the workspace, with `/`.
    pub(crate) path: String,
    /// Its text.
    pub(crate) text: String,
}

impl Text {
    /// What the name ends with.
    pub(crate) fn ending(&self) -> &str {
        Path::new(&self.path).extension().and_then(|ending| ending.to_str()).unwrap_or_default()
    }
}

/// Every text file of the checkout, sorted by path, but for licences and patches.
pub(crate) fn texts() -> Vec<Text> {
    let mut found = Vec::new();
    let mut folders = vec![workspace()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the workspace can be read") {
            let path = entry.expect("an entry of the workspace").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let from = path.strip_prefix(workspace()).expect("below the workspace");
            // Made by the build, by git, by npm and by runs; or texts of others.
            let others = ["target", ".git", "node_modules", "LICENSES", "kernel-patches"];
            let skipped = others.contains(&name.as_str())
                || (from.starts_with("results")
                    && from.components().count() > 1
                    && name != "README.md");
            if path.is_dir() && !skipped {
                folders.push(path);
            } else if !skipped && let Ok(text) = fs::read_to_string(&path) {
                found.push(Text { path: from.to_string_lossy().into_owned(), text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}
