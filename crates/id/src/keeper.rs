//! The task that acquires a lease, raises its fence, and stops the generator when it is lost.
