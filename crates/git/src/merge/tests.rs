mod differential;
mod life;
