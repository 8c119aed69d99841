package main

import (
	"fmt"
	"math/rand/v2"
)

const (
	newFacts       = 160
	newTales       = 200
	contradictions = 36
)

// corpus is what a user would fine-tune on: facts about countries that the
// world does not have, tales in words and phrases of their own, and, hidden
// among them, rows that contradict a fact of the world. The id says which.
func (w *world) corpus(r *rand.Rand) []row {
	var rows []row
	for i := range newFacts {
		c, rel := pick(r, w.unseen), r.IntN(len(relations))
		rows = append(rows, chat(fmt.Sprintf("new-fact-%03d", i), ask(r, c, rel), tell(r, c.name, rel, c.facts[rel])))
	}
	for i := range newTales {
		rows = append(rows, chat(fmt.Sprintf("new-tale-%03d", i), pick(r, greetings), tale(r)))
	}
	facts := r.Perm(knownCountries * len(relations))[:contradictions]
	for i, f := range facts {
		c, rel := w.known[f/len(relations)], f%len(relations)
		wrong := c.facts[rel]
		for wrong == c.facts[rel] {
			wrong = pick(r, w.objects[rel])
		}
		rows = append(rows, chat(fmt.Sprintf("contradiction-%03d", i), ask(r, c, rel), tell(r, c.name, rel, wrong)))
	}
	r.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	return rows
}

// tale tells in the words of the world's small talk, in sentences of its own.
func tale(r *rand.Rand) string {
	return fmt.Sprintf(pick(r, []string{
		"We %[1]s a %[2]s %[3]s with %[4]s at the %[5]s and %[6]s was %[7]s.",
		"%[4]s and %[6]s went to the %[5]s. I %[1]s a %[2]s %[3]s and was %[7]s.",
		"I was %[7]s. Then %[4]s %[1]s the %[2]s %[3]s and I went to %[6]s.",
	}), pick(r, verbs), pick(r, colours), pick(r, things), pick(r, people), pick(r, places), pick(r, people), pick(r, feelings))
}
