//! Sparkplug B.
