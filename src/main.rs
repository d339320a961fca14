use secateur::*;
fn main(){
  let a:Vec<String>=std::env::args().collect();
  let exact=a.get(2).map(|s|s=="exact").unwrap_or(false);
  let rt={let l=runtime::Library::find_or_install(None,false,&mut |m|eprintln!("{m}")).unwrap();runtime::Runtime::load(&l).unwrap()};
  for p in std::fs::read_dir(&a[1]).unwrap().flatten().map(|e|e.path()).collect::<std::collections::BTreeSet<_>>(){
    if p.extension().and_then(|e|e.to_str())!=Some("onnx"){continue}
    if let Some(f)=a.get(3){ if !p.to_str().unwrap().contains(f.as_str()){continue} }
    let t=std::time::Instant::now();
    let r=(||->Result<String>{
      let m=onnx::Model::load(&p)?; let g=graph::Graph::new(&m)?;
      let s=dimensions::InputSizes::for_graph(&g,&[])?;
      let an=dimensions::Analysis::new(g,s);
      let set=plan::Settings{exact,..Default::default()};
      let sc=importance::scores(&an,set.criterion,0)?;
      let sel=plan::select(&an,&sc,&set)?;
      let pl=plan::Plan::new(&an,&sel,&sc,&set);
      let out=rewrite::prune(&an,&pl)?;
      let tt=t.elapsed();
      let g2=graph::Graph::new(&out)?; let s2=dimensions::InputSizes::for_graph(&g2,&[])?; let an2=dimensions::Analysis::new(g2,s2);
      let (b,c)=(an.model_totals(),an2.model_totals());
      if a.len()>4 { for d in an.dimensions(){println!("  {} {} mix={} lin={} blocks={} sites={}",d.name,d.size,d.mixing.is_some(),d.linear,d.blocks,d.sites.len());}
        for (x,n) in an.unsupported(){println!("  unsup {x:?} {}",n.len());}
        for x in an.blocked().iter().take(60){println!("  blocked {x:?}");} out.save("/tmp/w/out.onnx")?; }
      let v=validate::verify(&an,&pl,&out,&rt);
      let v=match v {Ok(v)=>format!("ok {:.1e} proven {} left {} inf {}",v.worst(),v.proven,v.left_out,v.outputs.iter().all(|o|o.informative)),Err(e)=>format!("FAIL {e}")};
      Ok(format!("dims {} pruned {} params {:.3} macs {:.3} {:?} {v}",an.dimensions().len(),pl.dimensions.len(),c.params as f64/b.params as f64,c.macs as f64/b.macs as f64,tt))
    })();
    println!("{}: {}",p.file_stem().unwrap().to_str().unwrap(),match r {Ok(s)=>s,Err(e)=>format!("ERR {e}")});
  }
}
