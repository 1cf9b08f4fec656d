// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a file mentions: paths, methods and macros, each by its full name and line.
//!
//! Imports, `self`, `super` and child modules are resolved, macro arguments are read as tokens, and
//! items under `#[cfg(test)]` are left out. `.exists` is a method, `println!` a macro.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{ImplItem, Item, UseTree, Visibility};

use crate::source::{Source, attrs_in_impl, attrs_of, is_test};

/// One name that a file mentions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mention {
    /// Its line.
    pub(crate) line: usize,
    /// Its full name, `crate::…` within the crate.
    pub(crate) name: String,
    /// Whether it is only passed on by a `pub use`.
    pub(crate) reexport: bool,
}

/// What a file says of names.
#[derive(Default)]
pub(crate) struct Names {
    /// All it mentions, in order, each name once.
    pub(crate) mentions: Vec<Mention>,
    /// What it imports, which child modules can name as well: the name here, and the full name.
    pub(crate) aliases: BTreeMap<String, String>,
}

/// Reads the names of a file, but not those of its tests.
pub(crate) fn names(source: &Source) -> Names {
    let mut reader = Reader { scope: source.module.clone(), ..Reader::default() };
    reader.visit_file(&source.ast);
    let mut names = Names::default();
    let mut seen = BTreeSet::new();
    for raw in &reader.raw {
        let Some(path) = reader.full(&raw.scope, &raw.path, 0) else { continue };
        let name = path.join("::");
        if let Some(alias) = raw.alias.as_ref().filter(|_| raw.scope == source.module) {
            names.aliases.insert(alias.clone(), name.clone());
        }
        if seen.insert((name.clone(), raw.public)) {
            let reexport = raw.public;
            names.mentions.push(Mention { line: raw.line, name, reexport });
        }
    }
    names
}

struct Raw {
    line: usize,
    scope: Vec<String>,
    path: Vec<String>,
    alias: Option<String>,
    public: bool,
}

#[derive(Default)]
struct Reader {
    scope: Vec<String>,
    raw: Vec<Raw>,
    imports: BTreeMap<String, Vec<String>>,
    children: BTreeSet<Vec<String>>,
}

impl Reader {
    fn mention(&mut self, line: usize, path: Vec<String>) {
        let scope = self.scope.clone();
        self.raw.push(Raw { line, scope, path, alias: None, public: false });
    }

    /// `use` trees, one path for each leaf.
    fn imported(&mut self, tree: &UseTree, mut before: Vec<String>, public: bool) {
        let (ident, name) = match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                return self.imported(&path.tree, before, public);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.imported(tree, before.clone(), public);
                }
                return;
            }
            UseTree::Glob(glob) => {
                let line = glob.star_token.spans[0].start().line;
                return self.mention(line, before);
            }
            UseTree::Name(name) => (&name.ident, &name.ident),
            UseTree::Rename(rename) => (&rename.ident, &rename.rename),
        };
        if ident != "self" {
            before.push(ident.to_string());
        }
        let name = match name.to_string().as_str() {
            "self" => before.last().cloned().unwrap_or_default(),
            name => name.to_owned(),
        };
        let (line, scope) = (ident.span().start().line, self.scope.clone());
        let path = before.clone();
        self.raw.push(Raw { line, scope, path, alias: Some(name.clone()), public });
        self.imports.insert(name, before);
    }

    /// The full name of a path; nothing for a local name.
    fn full(&self, scope: &[String], path: &[String], depth: usize) -> Option<Vec<String>> {
        let first = path.first()?;
        let inside = |module: &[String], rest: &[String]| {
            Some(["crate".to_owned()].iter().chain(module).chain(rest).cloned().collect())
        };
        match first.as_str() {
            // `pub(crate)` in a macro.
            "crate" | "self" if path.len() == 1 => None,
            "crate" => Some(path.to_vec()),
            "Self" => None,
            "self" => inside(scope, &path[1..]),
            "super" => {
                let ups = path.iter().take_while(|part| *part == "super").count();
                inside(&scope[..scope.len().saturating_sub(ups)], &path[ups..])
            }
            "." => Some(vec![format!(".{}", path[1])]),
            "!" => Some(vec![format!("{}!", path[1])]),
            _ => {
                let child: Vec<String> = scope.iter().chain([first]).cloned().collect();
                let import = self.imports.get(first).filter(|import| **import != path);
                match import {
                    Some(import) if depth < 8 => {
                        let longer: Vec<String> =
                            import.iter().chain(&path[1..]).cloned().collect();
                        self.full(scope, &longer, depth + 1)
                    }
                    _ if path.len() == 1 => None,
                    _ if self.children.contains(&child) => inside(scope, path),
                    _ => Some(path.to_vec()),
                }
            }
        }
    }

    /// Paths, methods and macros among tokens that are not parsed.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is = |at: usize, sign: char| {
            let Some(TokenTree::Punct(punct)) = tokens.get(at) else { return false };
            punct.as_char() == sign
        };
        let mut at = 0;
        while at < tokens.len() {
            if let TokenTree::Group(group) = &tokens[at] {
                self.tokens(group.stream());
            }
            let TokenTree::Ident(first) = &tokens[at] else {
                at += 1;
                continue;
            };
            let line = first.span().start().line;
            let mut path = vec![first.to_string()];
            let before = at;
            at += 1;
            while is(at, ':') && is(at + 1, ':') {
                let Some(TokenTree::Ident(next)) = tokens.get(at + 2) else { break };
                path.push(next.to_string());
                at += 3;
            }
            if before > 0 && is(before - 1, '.') && !(before > 1 && is(before - 2, '.')) {
                path.insert(0, ".".to_owned());
            } else if is(at, '!') && !is(at + 1, '=') {
                path.insert(0, "!".to_owned());
            }
            self.mention(line, path);
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test(attrs_of(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        if !is_test(attrs_in_impl(item)) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.scope.push(item.ident.to_string());
        self.children.insert(self.scope.clone());
        visit::visit_item_mod(self, item);
        self.scope.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.imported(&item.tree, Vec::new(), !matches!(item.vis, Visibility::Inherited));
    }

    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|part| part.ident.to_string()).collect();
        self.mention(path.segments[0].ident.span().start().line, names);
        visit::visit_path(self, path);
    }

    /// `<Path>::exists` is the method too.
    fn visit_expr_path(&mut self, expr: &'ast syn::ExprPath) {
        if let (Some(_), Some(last)) = (&expr.qself, expr.path.segments.last()) {
            self.mention(
                last.ident.span().start().line,
                vec![".".to_owned(), last.ident.to_string()],
            );
        }
        visit::visit_expr_path(self, expr);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let path = vec![".".to_owned(), call.method.to_string()];
        self.mention(call.method.span().start().line, path);
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        if let Some(name) = call.path.get_ident() {
            self.mention(name.span().start().line, vec!["!".to_owned(), name.to_string()]);
        }
        visit::visit_macro(self, call);
    }

    fn visit_token_stream(&mut self, tokens: &'ast TokenStream) {
        self.tokens(tokens.clone());
    }
}
