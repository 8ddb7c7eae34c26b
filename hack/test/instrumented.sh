#!/usr/bin/env bash
# A RUSTC_WORKSPACE_WRAPPER: compiles this workspace's own crates so that a fuzzer sees which branches an input takes and what
# is compared. Dependencies are left as they are, and so shared with every other build. All of it is of stable Rust.
exec "$@" -Copt-level=1 -Cdebug-assertions=on -Ccodegen-units=16 -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares
