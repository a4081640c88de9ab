//! Conditions, values and actions, evaluated for one request.
