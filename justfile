# What developers and CI run. `just` alone lists it.

_list:
    @{{just_executable()}} --list --unsorted

# Everything that CI checks
check: lint test
    cargo fmt --check
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items --locked
    cargo deny --offline --all-features check bans licenses sources

# All tests, or those whose name contains a word: just test webhooks
test *words:
    cargo test --locked {{words}}

# One turn with a real model, which is installed first: about a gigabyte
real-model:
    .ci/real-model

# Formats the code
fmt:
    cargo fmt

# Clippy on everything; warnings are errors
lint:
    cargo clippy --all-targets --locked -- -D warnings

# Benchmarks, or those whose name contains a word
bench *words:
    cargo bench --locked {{words}}

# The server from this tree: just serve --port 9000
serve *flags:
    cargo run --locked -- serve {{flags}}
