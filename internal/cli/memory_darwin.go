package cli

// Darwin counts Rusage.Maxrss in bytes (getrusage(2)).
const maxrssUnit = 1
