package scorer

// Numerics is raised with every change of the program after which the scores of some
// model have other bits on some instruction set (TestNumerics). Every shard of scores
// says with which it was made, so that no dataset has shards of two. Programs with the
// same number finish what each other began, whatever their versions.
const Numerics = 1
