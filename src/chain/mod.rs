//! An EVM chain.
