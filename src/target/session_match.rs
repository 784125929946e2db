//! session_match
