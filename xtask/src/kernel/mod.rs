// SPDX-License-Identifier: MIT OR Apache-2.0
//! Kernels: source, series, config, toolchain -> an image in the cache.
//!
//! In the order of use: [`Cache::open`], [`Spec::locate`], [`Toolchain::find`], then
//! [`Site::image`] for each kernel. The cache keeps everything expensive by its content.
//!
//! Contract: nothing half-made is used, everything has a time limit, the user's tree and the
//! system's apt are only read, and parallel commands wait for each other.

mod apt;
mod aptlist;
mod bindgen;
mod build;
pub(crate) mod cache;
pub(crate) mod commits;
mod configured;
mod diff;
pub(crate) mod drgn;
mod errors;
mod fragments;
mod image;
mod kconfig;
mod landing;
pub(crate) mod lint;
mod local;
mod make;
pub(crate) mod outgoing;
mod overlay;
mod patch;
mod pristine;
pub(crate) mod selftests;
mod series;
pub(crate) mod shelf;
mod source;
pub(crate) mod steps;
mod tarball;
#[cfg(test)]
mod tests;
mod toolchain;
mod tree;
mod types;
pub(crate) mod user_series;
mod warnings;

pub(crate) use apt::Package;
pub(crate) use bindgen::BINDGEN_VERSION;
pub(crate) use build::Site;
pub(crate) use cache::Cache;
pub(crate) use image::{Image, find as find_image};
pub(crate) use overlay::Overlay;
pub(crate) use pristine::newest_tree;
pub(crate) use source::{Located, Spec};
pub(crate) use toolchain::{Tool, Toolchain, least_version, say, version_in};
