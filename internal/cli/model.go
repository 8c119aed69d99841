package cli

// Models is what a flag that names a model takes, for its usage.
const Models = "a Hugging Face folder, a .gguf file, OWNER/NAME of the Hub, or demo"
