package cli

// Linux counts Rusage.Maxrss in kilobytes (getrusage(2)).
const maxrssUnit = 1024
