//! A client that goes to the next server when one does not answer.
