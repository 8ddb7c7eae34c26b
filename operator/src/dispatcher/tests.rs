//! The queue at its edge, with an API server that answers as a scenario says.
