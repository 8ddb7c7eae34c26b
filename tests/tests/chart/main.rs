//! The chart as Helm renders it, against what it promises. No cluster is asked but by two tests, which say so.

mod admission;
mod audit;
mod hub;
mod images;
mod monitoring;
mod notes;
mod objects;
mod pods;
mod readme;
mod rights;
mod schemas;
mod seccomp;
mod settings;
mod store;
mod support;
mod test_hook;
mod values;
mod webhook;
