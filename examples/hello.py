"""The smallest job: fields are the inputs, the return value is the output.

klassd run examples.hello:app Hello name=team
klassd dev examples.hello:app                    # and in another terminal:
klassd enqueue examples.hello:app Hello name=team
"""

from klassd.workflows import App, Job, JobContext


class Hello(Job):
    name: str = "world"  # fields are the inputs

    async def run(self, ctx: JobContext) -> str:  # the return value is the output
        for i in ctx.track(range(5)):  # a progress bar in the live console
            ctx.log(f"hello {self.name} {i + 1}/5")
        return f"greeted {self.name}"


app = App(jobs=[Hello])  # SQLite file, local processes: nothing to install or start
