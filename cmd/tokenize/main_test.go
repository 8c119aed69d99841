package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"eaft/internal/cli"
	"eaft/internal/scripts"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"tokenize": func() { os.Exit(cli.Main("tokenize", run)) },
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata", Cmds: map[string]func(*testscript.TestScript, bool, []string){
		"code": scripts.Code,
	}})
}
