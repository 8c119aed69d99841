package train

import (
	"eaft/compute"
	"eaft/internal/cli"
	"eaft/model"
	"eaft/model/weights"
)

// loadBase loads the frozen base model of --kl: the checkpoint that training
// starts from, without masters and gradients.
//
// With beta = --kl and N the trained targets of the optimizer step, the loss is
//
//	L = (weighted cross entropy) + beta/N sum_t KL(base || tuned)
//	KL(base || tuned) = sum_v q_v ln(q_v / p_v)
//
// over the whole vocabulary, q the base's distribution at target t and p the tuned
// model's. The target's weight and label smoothing have no part in it. This is the
// direction in which p must cover what the base deems possible, and the cheap one:
// its gradient in the logits is beta/N (p - q), one pass over the vocabulary,
// whereas that of KL(p || q) needs the KL itself first. It is the cross entropy to
// the base as a teacher (Hinton et al. 2015, temperature 1) less the base's entropy.
func loadBase(dev compute.Device, c *weights.Checkpoint, dtype compute.DType) (*model.Model, error) {
	m, err := model.Load(dev, c, model.Options{DType: dtype})
	if err != nil {
		return nil, &cli.Error{Code: cli.ExitUsage, Err: err}
	}
	return m, nil
}
