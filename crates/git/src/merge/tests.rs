mod differential;
mod life;
mod replays;
