// SPDX-License-Identifier: MIT OR Apache-2.0
//! Rules for one file: its size, its head, its names, its lints and its documentation.

use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, Visibility};

use crate::source::{Source, attrs_in_impl, attrs_of, is_test, name_of};

const MODULE_LINES_HINT: usize = 400;
const MODULE_LINES_MAX: usize = 450;
const FUNCTION_LINES_MAX: usize = 70;

/// Modules that are too long. Between the hint and the limit it is only said (`--nocapture`).
pub(crate) fn long_modules(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let said = format!("{}: {lines} lines; over {MODULE_LINES_HINT} it may be two", source.path);
    if lines > MODULE_LINES_MAX {
        return vec![format!("{said}, and {MODULE_LINES_MAX} is the limit")];
    }
    if lines > MODULE_LINES_HINT {
        eprintln!("hint: {said}");
    }
    Vec::new()
}

/// Rust files without module documentation.
pub(crate) fn heads(source: &Source) -> Vec<String> {
    let documented = source.text.lines().nth(1).is_some_and(|line| line.starts_with("//!"));
    let said = format!("{}:2: no module documentation (`//!`)", source.path);
    (!documented).then_some(said).into_iter().collect()
}

/// File names that explain nothing.
pub(crate) fn vague_names(source: &Source) -> Vec<String> {
    let vague = ["util", "utils", "helper", "helpers", "common", "misc", "imp"];
    let path = source.path.trim_end_matches(".rs");
    let is_vague = path.split('/').any(|part| vague.contains(&part));
    is_vague.then(|| format!("{}: a name that explains nothing", source.path)).into_iter().collect()
}

/// Functions over [`FUNCTION_LINES_MAX`].
pub(crate) fn long_functions(source: &Source) -> Vec<String> {
    let mut walk = Walk::new(source);
    walk.visit_file(&source.ast);
    walk.long_functions
}

/// `#[allow]`, and `#[expect]` without a reason.
pub(crate) fn lints(source: &Source) -> Vec<String> {
    let mut walk = Walk::new(source);
    walk.visit_file(&source.ast);
    walk.lints
}

/// Public items, fields and variants without `///`.
pub(crate) fn undocumented(source: &Source) -> Vec<String> {
    if source.test {
        return Vec::new();
    }
    let mut walk = Walk::new(source);
    walk.visit_file(&source.ast);
    walk.undocumented
}

struct Walk<'a> {
    path: &'a str,
    in_test: bool,
    long_functions: Vec<String>,
    lints: Vec<String>,
    undocumented: Vec<String>,
}

impl<'a> Walk<'a> {
    fn new(source: &'a Source) -> Self {
        Self {
            path: &source.path,
            in_test: false,
            long_functions: Vec::new(),
            lints: Vec::new(),
            undocumented: Vec::new(),
        }
    }

    fn function(&mut self, sig: &syn::Signature, block: &syn::Block) {
        let first = sig.fn_token.span.start().line;
        let lines = block.brace_token.span.close().end().line - first + 1;
        if lines > FUNCTION_LINES_MAX {
            let name = &sig.ident;
            let place = format!("{}:{first}", self.path);
            self.long_functions
                .push(format!("{place}: fn {name}: {lines} lines, at most {FUNCTION_LINES_MAX}"));
        }
    }

    fn documented(&mut self, attrs: &[Attribute], name: &syn::Ident) {
        if !self.in_test && !attrs.iter().any(|attr| attr.path().is_ident("doc")) {
            let line = name.span().start().line;
            self.undocumented.push(format!("{}:{line}: `{name}` has no `///`", self.path));
        }
    }

    fn members(&mut self, item: &Item) {
        match item {
            Item::Struct(item) => {
                // The arguments of a flattened field have their documentation in its type.
                let flat = |field: &&syn::Field| {
                    !field.attrs.iter().any(|attr| {
                        attr.path().is_ident("command")
                            && attr.parse_args::<syn::Path>().is_ok_and(|p| p.is_ident("flatten"))
                    })
                };
                let public = |field: &&syn::Field| is_public(&field.vis);
                for field in item.fields.iter().filter(public).filter(flat) {
                    if let Some(name) = &field.ident {
                        self.documented(&field.attrs, name);
                    }
                }
            }
            Item::Enum(item) if is_public(&item.vis) => {
                for variant in &item.variants {
                    self.documented(&variant.attrs, &variant.ident);
                    for field in &variant.fields {
                        if let Some(name) = &field.ident {
                            self.documented(&field.attrs, name);
                        }
                    }
                }
            }
            Item::Trait(item) if is_public(&item.vis) => {
                for function in &item.items {
                    if let syn::TraitItem::Fn(function) = function {
                        self.documented(&function.attrs, &function.sig.ident);
                    }
                }
            }
            _ => {}
        }
    }
}

impl<'ast> Visit<'ast> for Walk<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let outside = self.in_test;
        self.in_test |= is_test(attrs_of(item));
        if let Some((_, name)) = name_of(item).filter(|(vis, _)| is_public(vis)) {
            self.documented(attrs_of(item), name);
        }
        self.members(item);
        visit::visit_item(self, item);
        self.in_test = outside;
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let outside = self.in_test;
        self.in_test |= is_test(attrs_in_impl(item));
        let named = match item {
            ImplItem::Fn(item) => Some((&item.vis, &item.sig.ident)),
            ImplItem::Const(item) => Some((&item.vis, &item.ident)),
            _ => None,
        };
        if let Some((_, name)) = named.filter(|(vis, _)| is_public(vis)) {
            self.documented(attrs_in_impl(item), name);
        }
        visit::visit_impl_item(self, item);
        self.in_test = outside;
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_attribute(&mut self, attr: &'ast Attribute) {
        let line = attr.pound_token.spans[0].start().line;
        let place = format!("{}:{line}", self.path);
        if attr.path().is_ident("allow") {
            self.lints.push(format!("{place}: `#[allow]`; use `#[expect(…, reason = \"…\")]`"));
        }
        if attr.path().is_ident("expect")
            && let Ok(list) = attr.meta.require_list()
            && !list.tokens.to_string().contains("reason")
        {
            self.lints.push(format!("{place}: `#[expect]` without a reason"));
        }
        visit::visit_attribute(self, attr);
    }
}

fn is_public(vis: &Visibility) -> bool {
    match vis {
        Visibility::Public(_) => true,
        Visibility::Restricted(vis) => vis.path.is_ident("crate"),
        Visibility::Inherited => false,
    }
}
