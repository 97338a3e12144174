package main

// reportCommand is loadtest report.
type reportCommand struct {
	File   string `arg:"" name:"result" help:"A result in JSON."`
	Output string `short:"o" required:"" help:"Write it there; - is standard output." placeholder:"FILE"`
}

// Run implements the command.
func (c *reportCommand) Run(p process) error {
	r, err := readResult(c.File)
	if err != nil {
		return err
	}
	settings := runCommand{HTML: c.Output}
	out, err := settings.openFiles(p)
	if err != nil {
		return err
	}
	defer out.close()
	return out.write(r)
}
