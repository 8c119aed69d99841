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
	rows := w.newRows(r, "new", newFacts, newTales)
	for i, f := range w.contradicted {
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

// newRows are facts and tales that the world does not have.
func (w *world) newRows(r *rand.Rand, prefix string, facts, tales int) []row {
	var rows []row
	for i := range facts {
		c, rel := pick(r, w.unseen), r.IntN(len(relations))
		rows = append(rows, chat(fmt.Sprintf("%s-fact-%03d", prefix, i), ask(r, c, rel), tell(r, c.name, rel, c.facts[rel])))
	}
	for i := range tales {
		rows = append(rows, chat(fmt.Sprintf("%s-tale-%03d", prefix, i), pick(r, greetings), tale(r)))
	}
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
